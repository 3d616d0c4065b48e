import type { Clock, Log } from '../base/basics.ts';
import { runProgram } from '../base/run-program.ts';
import { type Message, toJson } from './message.ts';
import type { NotifyConfig } from './notify-section.ts';
import { postWebhook } from './webhook.ts';

/** How long a command may run, in milliseconds. */
const LONGEST_COMMAND = 60_000;

/**
 * Makes one attempt to deliver a message to a notify block. What sends mail is large, and loaded when there
 * is one to send.
 *
 * @throws RefusedError when another attempt is useless, another Error of one line when it may help; neither
 *   holds a secret
 */
export async function deliver(
  block: NotifyConfig,
  message: Message,
  parts: { clock: Clock; log: Log; signal: AbortSignal },
): Promise<void> {
  switch (block.type) {
    case 'webhook':
      return postWebhook(block, message, parts);
    case 'mail':
      return (await import('./mail.ts')).sendMail(block, message, parts);
    case 'command': {
      const { command: path, folder } = block;
      const run = { path, folder, stdin: toJson(message), environment: {}, timeout: LONGEST_COMMAND };
      return runProgram(run, parts.signal);
    }
  }
}
