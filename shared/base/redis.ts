import { createHash } from 'node:crypto';
import type { Writable } from 'node:stream';
import type { Redis } from 'ioredis';
import type { Clock } from './basics.ts';
import { damagedValue, IssuanceError, toDamage } from './errors.ts';
import { describeTrouble, judgeRedisError } from './redis-errors.ts';

export type { Redis } from 'ioredis';

/** A connection to Redis, and the prefix of all of Quarry's keys there. */
export type Store = { redis: Redis; prefix: string };

/** Calls back once the turn of the event loop is over. */
export type AfterTurn = (release: () => void) => void;

/**
 * Has the commands of one turn of the event loop leave in one write: where many orders are under way that
 * halves what a command costs on both sides.
 *
 * @param afterTurn `process.nextTick`, or `setImmediate` to wait for the turns that follow at once
 */
export function writeTogether(stream: Writable, afterTurn: AfterTurn): void {
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  let held = false;
  const release = () => {
    held = false;
    stream.uncork();
  };
  const together = (...args: unknown[]) => {
    if (!held) {
      held = true;
      stream.cork();
      afterTurn(release);
    }
    return write(...args);
  };
  stream.write = together as typeof stream.write;
}

/**
 * Runs commands that a request depends on.
 *
 * @throws IssuanceError `unavailable` whatever goes wrong: a failing Redis is not the client's fault and not
 *   a bug; but for a value that is damaged, which has an error of its own
 */
export async function needingRedis<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    const known = error instanceof IssuanceError ? error : toDamage(error);
    if (known) throw known;
    throw new IssuanceError('unavailable', describeTrouble(judgeRedisError(error)), { cause: error });
  }
}

/** Longer than a restart of Redis, and shorter than a CA waits for an answer. */
const LONGEST_OUTAGE = 6_000;
const ASK_AGAIN = 100;

/** Asks until Redis answers, or for as long as an answer is of use. */
export type OutlastRestarts = <T>(ask: () => Promise<T>) => Promise<T>;

/**
 * A CA looks once: with an answer that Redis's restart costs, the order would fail and a failed validation be
 * counted.
 */
export function outlastingRestarts(clock: Clock): OutlastRestarts {
  return async ask => {
    const deadline = clock.now() + LONGEST_OUTAGE;
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (clock.now() >= deadline) throw error;
        await clock.sleep(ASK_AGAIN);
      }
    }
  };
}

/** A Lua script, which Redis knows by its digest once it has run it. */
export type Script = { text: string; digest: string };

export const toScript = (text: string): Script => ({
  text,
  digest: createHash('sha1').update(text).digest('hex'),
});

/**
 * Runs a script. Its text is sent only where Redis does not know it: the first time, and again after a
 * restart, a fail-over or SCRIPT FLUSH.
 *
 * @throws IssuanceError `misconfigured` where it stumbles over a value that is damaged
 */
export async function runScript(
  redis: Redis,
  { text, digest }: Script,
  keys: readonly string[],
  args: readonly (string | number | Buffer)[],
): Promise<unknown> {
  try {
    return await redis.evalsha(digest, keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT')))
      throw toDamage(error, keys) ?? error;
    return redis.eval(text, keys.length, ...keys, ...args).catch(failure => {
      throw toDamage(failure, keys) ?? failure;
    });
  }
}

type Asked = { resolve(value: string | null): void; reject(error: Error): void };

/**
 * Gets by one command all keys that are wanted in one turn of the event loop, each once: most of a command's
 * cost does not depend on how many keys it has. No value is older than its question.
 */
export function openGetTogether(redis: Redis): (key: string) => Promise<string | null> {
  let wanted = new Map<string, Asked[]>();

  async function ask() {
    const asked = wanted;
    wanted = new Map();
    const byKey = [...asked.values()];
    try {
      const values = await redis.mget([...asked.keys()]);
      for (const [at, ofKey] of byKey.entries()) for (const { resolve } of ofKey) resolve(values[at] ?? null);
    } catch (error) {
      for (const { reject } of byKey.flat()) reject(error as Error);
    }
  }

  return key =>
    new Promise((resolve, reject) => {
      if (wanted.size === 0) setImmediate(ask);
      const ofKey = wanted.get(key);
      if (ofKey) ofKey.push({ resolve, reject });
      else wanted.set(key, [{ resolve, reject }]);
    });
}

const toFields = (record: unknown, beside: string[] = []) => ['event', JSON.stringify(record), ...beside];

/** What is written to a stream: records as JSON in a field `event`, each with others `beside` it after it. */
export type StreamWriter<T> = {
  /**
   * Resolves once Redis has the record; at once, and without fail, where the stream keeps only some. Records
   * of one turn of the event loop share an entry: most of its cost does not depend on how many it has.
   *
   * @throws IssuanceError `unavailable` when Redis cannot be reached
   */
  write(record: T, beside?: string[]): Promise<void>;
  /** The arguments of XADD after the key, for a script that runs anyway. */
  entryFor(record: T, beside?: string[]): string[];
};

/** Who reads a stream takes so many entries at a time, whatever is in them. */
const MOST_IN_ENTRY = 16;

type NextEntry = { fields: string[]; records: number; written: Promise<void> };

/** @param most how many entries the stream keeps, about; 0 for all */
export function openStreamWriter<T>(redis: Redis, stream: string, most: number): StreamWriter<T> {
  const bound = most > 0 ? (['MAXLEN', '~', most] as const) : [];
  const append = (fields: readonly string[]) => redis.xadd(stream, ...bound, '*', ...fields);
  let next: NextEntry | undefined;

  function begin(): NextEntry {
    const fields: string[] = [];
    const appended = new Promise(resolve =>
      setImmediate(() => {
        next = undefined;
        resolve(append(fields));
      }),
    );
    const written = most > 0 ? appended.catch(() => {}) : needingRedis(() => appended);
    return { fields, records: 0, written: written.then(() => {}) };
  }

  return {
    async write(record, beside) {
      if (!next || next.records === MOST_IN_ENTRY) next = begin();
      next.records++;
      next.fields.push(...toFields(record, beside));
      if (most === 0) await next.written;
    },
    entryFor: (record, beside) => ['*', ...toFields(record, beside)],
  };
}

/** Whether a value out of JSON is what it should be. */
type Check = (value: unknown) => boolean;

export const isText: Check = value => typeof value === 'string';
export const isFlag: Check = value => typeof value === 'boolean';
export const isNumber: Check = value => typeof value === 'number';
export const optional =
  (check: Check): Check =>
  value =>
    value === undefined || check(value);
export const oneOf =
  (...values: readonly unknown[]): Check =>
  value =>
    values.includes(value);
export const either =
  <One, Other>(
    isOne: (value: unknown) => value is One,
    isOther: (value: unknown) => value is Other,
  ): ((value: unknown) => value is One | Other) =>
  (value): value is One | Other =>
    isOne(value) || isOther(value);
export const listOf =
  (check: Check): Check =>
  value =>
    Array.isArray(value) && value.every(check);

/** Checks an object by its fields. */
export function shapeOf<T>(fields: { [K in keyof T]-?: Check }): (value: unknown) => value is T {
  const checks = Object.entries<Check>(fields);
  return (value): value is T =>
    typeof value === 'object' &&
    value !== null &&
    checks.every(([name, check]) => check((value as Record<string, unknown>)[name]));
}

/**
 * Parses what Redis holds, as whoever can write there may have written anything.
 *
 * @param key where it lies; of a hash, with the field
 * @throws IssuanceError `misconfigured` that names the key, and nothing of the value
 */
export function parseValue<T>(key: string, text: string, isValid: (value: unknown) => value is T): T {
  try {
    const value: unknown = JSON.parse(text);
    if (isValid(value)) return value;
  } catch {
    // what JSON.parse says of it quotes it
  }
  throw damagedValue(key);
}

/** A number that Redis holds as text. @throws IssuanceError `misconfigured` as `parseValue` */
export function parseNumber(key: string, text: string): number {
  const number = text === '' ? Number.NaN : Number(text);
  if (Number.isFinite(number)) return number;
  throw damagedValue(key);
}
