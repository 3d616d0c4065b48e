import { type ChainableCommander, Command, type Redis } from 'ioredis';
import { codeOf, judgeRedisError } from './redis-errors.ts';

// What becomes of commands that Redis answers with an error which passes: the connection of a role that has
// nothing better to do sends them again, until they are done.

/** Milliseconds until a command that was refused is sent again, or a connection made anew. */
const PAUSE = 500;

/** ioredis's own, which its types keep back. */
type Item = { command: Command; stream?: unknown };
type Inner = {
  handleReconnection(error: Error, item: Item): void;
  flushQueue(error: Error, options?: object): void;
  condition?: { handshake?: boolean };
};

/** Commands that are to fail at once, whatever connection they are sent by. */
const asked = new WeakSet<Command>();

/** Sends a command that fails where Redis refuses it, by a patient connection, too. */
export function askOnce(redis: Redis, name: string, ...words: string[]): Promise<unknown> {
  const command = new Command(name, words, { replyEncoding: 'utf8' });
  asked.add(command);
  return redis.sendCommand(command) as Promise<unknown>;
}

const isPatient = ({ options }: Redis) => options.maxRetriesPerRequest === null;

const passes = (error: unknown) => ['away', 'refuses'].includes(judgeRedisError(error)?.kind ?? '');

/** What a node answers that another one has taken the place of, or is about to. */
const elsewhere = new Set(['READONLY', 'UNBLOCKED', 'MOVED', 'ASK']);

/**
 * Has a connection outlast what passes. A node that was demoted is left for whoever is in its place
 * now. Patient connections keep the commands that were refused, as those that wait while Redis is away;
 * impatient ones fail them. Transactions fail as a whole: `runAll` repeats them.
 */
export function outlastRefusals(redis: Redis): void {
  const inner = redis as unknown as Inner;
  const [reject, flush] = [inner.handleReconnection.bind(redis), inner.flushQueue.bind(redis)];
  let leaving = false;

  function leave() {
    if (leaving || redis.status !== 'ready') return;
    leaving = true;
    setTimeout(() => {
      leaving = false;
    }, PAUSE).unref();
    redis.disconnect(true);
  }

  inner.handleReconnection = (error, item) => {
    if (inner.condition?.handshake || !passes(error)) return reject(error, item);
    if (elsewhere.has(codeOf(error))) leave();
    const isKept = isPatient(redis) && item.stream === undefined && !asked.has(item.command);
    if (!isKept) return reject(error, item);
    setTimeout(() => redis.sendCommand(item.command), PAUSE);
  };
  // A login or a ready check that fails now may succeed later: commands wait for that, too.
  inner.flushQueue = (error, options) => {
    const isReply = error.name === 'ReplyError';
    if (!(isReply && isPatient(redis) && passes(error))) flush(error, options);
  };
}

/**
 * Runs the commands of a transaction. Rejects when one of them failed, which `exec` alone does not; a patient
 * connection outlasts what passes, as nothing of a transaction that was refused has been done.
 *
 * @param add adds the commands to a transaction
 */
export async function runAll(
  redis: Redis,
  add: (commands: ChainableCommander) => ChainableCommander,
): Promise<unknown[]> {
  for (;;) {
    try {
      return await runOnce(add(redis.multi()));
    } catch (error) {
      if (!isPatient(redis) || redis.status === 'end' || !passes(error)) throw error;
      await new Promise(resolve => setTimeout(resolve, PAUSE));
    }
  }
}

async function runOnce(commands: ChainableCommander): Promise<unknown[]> {
  const results = (await commands.exec()) ?? [];
  const failed = results.find(([error]) => error !== null);
  if (failed) throw failed[0];
  return results.map(([, result]) => result);
}
