import { check } from './check.ts';
import { type Command, needFiles, readOptions } from './command.ts';

export const checkCommand: Command = {
  usage: ['check [--probe] FILE…'],
  summary: 'reads the configuration and prints who may have what; --probe tries each verification out',
  example: 'quarry check --probe main.ini',
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, { probe: { type: 'boolean' } });
    const config = await check(needFiles('check', positionals), env, write);
    if (values.probe) await (await import('./probe/probe.ts')).probe(config, write);
  },
};
