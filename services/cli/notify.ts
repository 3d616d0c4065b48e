import { randomUUID } from 'node:crypto';
import { systemClock } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { openLog } from '../../shared/base/log.ts';
import { deliver } from '../../shared/notify/deliver.ts';
import type { Message } from '../../shared/notify/message.ts';
import { describeWay } from '../../shared/notify/notify-section.ts';
import { loadConfig } from '../../shared/setup/load-config.ts';
import { type Command, type Io, needFiles, readWords, UsageError } from './command.ts';

/** `quarry notify test FILE…`: whether messages would arrive. */
export const notifyCommand: Command = {
  usage: ['notify test FILE…'],
  summary: 'sends a test message to each [notify] block at once, and says which could not be reached',
  example: 'quarry notify test main.ini',
  async run(words, io) {
    const [first, ...files] = readWords(words);
    if (first !== 'test') throw new UsageError('give what to do and a file: quarry notify test main.ini');
    await testNotify(needFiles('notify test', files), io);
  },
};

/** @throws Error when there is no block, or when one was not reached */
async function testNotify(files: string[], { env, write }: Io): Promise<void> {
  const { notify, logging } = await loadConfig(files, env);
  if (notify.length === 0) throw new Error('no [notify] block is defined, so nobody would be notified');
  const { log } = await openLog({ ...logging, destination: 'stderr', format: 'text', level: 'warn' });
  const id = randomUUID();
  const detail = 'quarry notify test was run; nothing is wrong';
  const message: Message = {
    id,
    matter: id,
    kind: 'test',
    subject: 'test',
    names: [],
    detail,
    at: systemClock.now(),
  };
  const parts = { clock: systemClock, log, signal: new AbortController().signal };
  const failed: string[] = [];
  for (const block of notify) {
    const reason = await deliver(block, message, parts).catch(describeError);
    if (reason !== undefined) failed.push(block.name);
    write(`${reason === undefined ? 'ok    ' : 'FAILED'}  ${block.name}: ${reason ?? describeWay(block)}\n`);
  }
  if (failed.length > 0) throw new Error(`not reached: ${failed.join(', ')}`);
}
