import type { Command } from '../command.ts';
import { readForm } from '../form.ts';
import { type Shell, toScript } from './script.ts';

const usage = 'completion bash|zsh|fish';

/**
 * `quarry completion`: prints what a shell needs to complete quarry's words, made from the forms of all
 * commands.
 */
export function completionCommand(loadCommands: () => Promise<Record<string, Command>>): Command {
  return {
    usage: [usage],
    summary: 'prints the completion of all of these words for a shell',
    example: 'source <(quarry completion bash)',
    async run(words, { write }) {
      readForm('quarry', [usage], ['completion', ...words]);
      const forms = Object.values(await loadCommands()).flatMap(command => command.forms ?? command.usage);
      write(toScript(words[0] as Shell, forms));
    },
  };
}
