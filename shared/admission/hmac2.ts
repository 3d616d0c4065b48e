import { hash } from 'node:crypto';
import { needingRedis, runScript, type Store, toScript } from '../base/redis.ts';

// HMAC version 2, whose requests are taken once each: hmac.md tells which bytes are signed.

/** What lets a request be taken once: both as its header spells them. */
export type OnceOnly = {
  /** Seconds since the epoch. */
  time: string;
  nonce: string;
};

/** @param only gives the value of a field that the header has once, and undefined for any other */
export function parseOnceOnly(only: (name: string) => string | undefined): OnceOnly | undefined {
  const [time, nonce] = [only('time') ?? '', only('nonce') ?? ''];
  return /^\d{1,11}$/.test(time) && /^[A-Za-z0-9+/=_.~-]{16,64}$/.test(nonce) ? { time, nonce } : undefined;
}

/**
 * The bytes that an HMAC of version 2 covers.
 *
 * @param target path and query, as the request line has them
 * @param body empty where there is none
 * @param type the hash, by Node's name; the body is digested by it, too
 */
export function toSignedBytes(
  { method, target }: { method: string; target: string },
  { time, nonce }: OnceOnly,
  body: Buffer,
  type: string,
): Buffer {
  const lines = ['hmac2', method, target, time, nonce, hash(type, body)];
  return Buffer.from(lines.map(line => `${line}\n`).join(''), 'latin1');
}

/** Seconds by which the clocks of a client and of Redis may differ. */
const MOST_APART = 300;
/** Seconds that a nonce is kept for longer than its request could be taken: Redis's clock may be set back. */
const KEPT_LONGER = 60;

/**
 * By Redis's clock, so that all intakes agree. KEYS: the nonce. ARGV: the request's time, by how much it may
 * differ, for how long its nonce stays known after that. Answers whether it is taken, seen or apart, and the
 * time.
 */
const TAKE = toScript(`local now = tonumber(redis.call('TIME')[1])
local time, apart = tonumber(ARGV[1]), tonumber(ARGV[2])
if math.abs(now - time) > apart then return {'apart', now} end
local ends = string.format('%d', time + apart + ARGV[3])
if redis.call('SET', KEYS[1], '1', 'NX', 'EXAT', ends) then return {'taken', now} end
return {'seen', now}`);

/**
 * Takes a request whose HMAC holds, once, however many blocks ask for the same request.
 *
 * @param key a name of the HMAC's key that does not reveal it: two clients may use the same nonce
 * @returns why it is not taken; undefined where it is
 * @throws IssuanceError `unavailable` when Redis cannot be reached
 */
export type TakeOnce = (key: string, once: OnceOnly) => Promise<string | undefined>;

export function openTakeOnce({ redis, prefix }: Store): TakeOnce {
  const asked = new WeakMap<OnceOnly, Promise<string | undefined>>();

  async function take(key: string, { time, nonce }: OnceOnly): Promise<string | undefined> {
    const keys = [`${prefix}:nonce:${key}:${nonce}`];
    const answer = await needingRedis(() => runScript(redis, TAKE, keys, [time, MOST_APART, KEPT_LONGER]));
    const [outcome, now] = answer as ['taken' | 'seen' | 'apart', number];
    if (outcome === 'apart') return describeClocks(Number(time), now);
    return outcome === 'taken'
      ? undefined
      : 'a request with this nonce came before: sign each request anew, with a nonce of its own';
  }

  return (key, once) => {
    const taken = asked.get(once) ?? take(key, once);
    asked.set(once, taken);
    return taken;
  };
}

function describeClocks(time: number, now: number): string {
  const which = time < now ? 'behind' : 'ahead of';
  const server = new Date(now * 1000).toISOString().replace('.000', '');
  const apart = `${Math.abs(now - time)} seconds ${which} the server's clock, which says ${server}`;
  return `the request's time is ${apart}; set the clock by NTP: a difference of ${MOST_APART} seconds is accepted`;
}
