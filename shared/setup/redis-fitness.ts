import type { Redis } from 'ioredis';
import type { Clock } from '../base/basics.ts';
import { type RedisAddress, whereOf } from '../base/redis-address.ts';
import { commandSamples } from '../base/redis-commands.ts';
import { connectTo } from '../base/redis-connection.ts';
import { codeOf, judgeRedisError } from '../base/redis-errors.ts';
import type { RedisUser } from '../base/redis-use.ts';
import { isReader, type RedisRights } from './redis-acl.ts';
import { findFault, type RedisFacts } from './redis-fault.ts';
import { explainUnreached } from './redis-unreached.ts';

/** How Redis is: of use, away, or such that a role could never work with it. */
export type Fitness = { state: 'fit' } | { state: 'away' } | { state: 'unfit'; fault: string };

const FIRST_PAUSE = 100;
const LAST_PAUSE = 2_000;
/** So many missing rights are told; they are mended together. */
const MOST_TOLD = 5;

/**
 * Looks whether a role could work with Redis, in one round of commands on a connection of its own. Each
 * command that the role needs is queued in a transaction, for a key that it is meant for, and then all of
 * them are discarded: so it works for users that may not look at ACLs, and on every Redis.
 *
 * @param address with the login of the role's user
 */
export async function lookAtRedis(
  user: RedisUser,
  address: RedisAddress,
  rights: RedisRights,
): Promise<Fitness> {
  const redis = connectTo(address, 'once', false);
  redis.on('error', () => {}); // it is looked at anew
  try {
    await redis.connect();
    const replies = await Promise.all(planLook(user, rights).map(step => send(redis, step)));
    return judge(replies, address);
  } catch {
    const fault = await explainUnreached(user, address);
    return fault === undefined ? { state: 'away' } : { state: 'unfit', fault };
  } finally {
    redis.disconnect();
  }
}

/**
 * Waits until Redis answers and is of use.
 *
 * @throws Error in one line where it never will be; the signal's reason
 */
export async function untilRedisFits(
  look: () => Promise<Fitness>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LAST_PAUSE)) {
    const fitness = await look();
    signal.throwIfAborted();
    if (fitness.state === 'fit') return;
    if (fitness.state === 'unfit') throw new Error(fitness.fault);
    await clock.sleep(pause, signal);
  }
}

/** One command, and the right that it tries out, as ACLs write it. */
type Step = { words: readonly string[]; right?: string };

/** A responder may do nothing but read, so its commands are simply done. */
function planLook(user: RedisUser, { keys, channels }: RedisRights): Step[] {
  const trials = [
    ...keys.map(right => ({ ...right, sign: '~' })),
    ...channels.map(right => ({ ...right, sign: '&' })),
  ].flatMap(({ pattern, commands, sign }) =>
    commands.map(command => ({
      words: [...command.split('|'), ...commandSamples[command](toName(pattern))],
      right: `${sign}${pattern}`,
    })),
  );
  const [hello, info, time] = [{ words: ['hello'] }, { words: ['info'] }, { words: ['time'] }];
  if (isReader(user)) return [hello, time, ...trials];
  const isLast = ({ words }: Step) => words[0] === 'subscribe'; // nothing else may follow it
  return [
    ...[hello, info, time, { words: ['multi'] }],
    ...trials.filter(trial => !isLast(trial)),
    { words: ['discard'] },
    ...trials.filter(isLast),
  ];
}

/** A name that the pattern matches. */
const toName = (pattern: string) =>
  pattern.replace(/\\(.)|\*/g, (_, escaped?: string) => escaped ?? 'quarry-looks');

type Reply = Step & { answer?: unknown; error?: Error };

async function send(redis: Redis, step: Step): Promise<Reply> {
  const [name = '', ...words] = step.words;
  return redis.call(name, ...words).then(
    answer => ({ ...step, answer }),
    error => ({ ...step, error }),
  );
}

function judge(replies: readonly Reply[], address: RedisAddress): Fitness {
  const [hello, info] = replies;
  const facts = { ...readHello(hello?.answer), ...readInfo(info?.answer) };
  if (hello?.answer === undefined || facts.loading === '1') return { state: 'away' };
  // What leads to a replica has not heard yet which one is the master now.
  if (facts.role === 'slave' && !('url' in address)) return { state: 'away' };
  const fault = findFault(facts, address);
  const isAway = replies.some(({ error }) => judgeRedisError(error)?.kind === 'away');
  if (fault === undefined && isAway) return { state: 'away' };
  const said = fault ?? findMissing(replies);
  if (said === undefined) return { state: 'fit' };
  return { state: 'unfit', fault: `Redis at ${whereOf(address)} ${said}` };
}

/** Names and values in turn. */
function readHello(answer: unknown): RedisFacts {
  if (!Array.isArray(answer)) return {};
  const texts = answer.map(String);
  const facts = Object.fromEntries(texts.flatMap((name, at) => (at % 2 ? [] : [[name, texts[at + 1]]])));
  return {
    redis_version: facts.version,
    redis_mode: facts.mode,
    role: facts.role === 'replica' ? 'slave' : facts.role,
  };
}

function readInfo(answer: unknown): RedisFacts {
  if (typeof answer !== 'string') return {};
  return Object.fromEntries(
    [...answer.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name, value]) => [name, value]),
  );
}

/** A refusal names the command, or else the key or channel was not allowed. */
function findMissing(replies: readonly Reply[]): string | undefined {
  const missing = replies.flatMap(({ words: [name = ''], right = '', error }) => {
    if (!error) return [];
    const { message } = error;
    if (/^ERR unknown (sub)?command/i.test(message)) return [`+${name} (which this Redis does not know)`];
    if (codeOf(error) !== 'NOPERM') return [];
    return [/\bcommand\b/.test(message) ? `+${name}` : right];
  });
  if (missing.length === 0) return undefined;
  const all = [...new Set(missing)];
  const more = all.length > MOST_TOLD ? ` and ${all.length - MOST_TOLD} more` : '';
  const told = all.slice(0, MOST_TOLD).join(' ');
  return `does not allow this user ${told}${more}: give it the rights that quarry redis-acl prints`;
}
