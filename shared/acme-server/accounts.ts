import { randomBytes } from 'node:crypto';
import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import type { Clock } from '../base/basics.ts';
import {
  isNumber,
  isText,
  listOf,
  needingRedis,
  oneOf,
  optional,
  parseValue,
  runScript,
  type Store,
  shapeOf,
  toScript,
} from '../base/redis.ts';
import type { TrailEvent } from '../trail/event.ts';
import { openTrail, trailKey } from '../trail/trail.ts';
import type { SealedBinding } from './account-binding.ts';
import { accountKeys, IDLE_LIFE, openNoteSeen } from './account-life.ts';
import type { PublicJwk } from './jws.ts';
import { AcmeError } from './problem.ts';

// Accounts of ACME clients at Quarry, as Redis keeps them: not those that Quarry has at its CAs.

export type Account = {
  /** Unguessable; 32 hex digits. */
  id: string;
  key: PublicJwk;
  /** Of the key, RFC 7638. */
  thumbprint: string;
  status: 'valid' | 'deactivated';
  /** URLs, `mailto:` alone. */
  contacts: string[];
  termsAgreed?: true;
  /** Milliseconds since the epoch. */
  created: number;
  /** The address that it was made from. */
  client: string;
  /** The external account binding itself, by which each order is judged anew. */
  binding?: SealedBinding;
};

const isJwk = shapeOf<{ kty: string }>({ kty: isText });
const isBinding = shapeOf<SealedBinding>({
  kid: isText,
  jws: shapeOf<SealedBinding['jws']>({ protected: isText, payload: isText, signature: isText }),
});
const isAccount = shapeOf<Account>({
  ...{ id: isText, key: isJwk, thumbprint: isText, status: oneOf('valid', 'deactivated') },
  ...{ contacts: listOf(isText), termsAgreed: optional(oneOf(true)), created: isNumber, client: isText },
  binding: optional(isBinding),
});

/** An account, and its record as it is in Redis. */
export type Kept = { account: Account; text: string };

/** Each call that asks Redis throws IssuanceError `unavailable` when it cannot be reached. */
export type Accounts = {
  /** Of the record in Redis. */
  key(id: string): string;
  /**
   * What Redis holds as the record of an account; `undefined` where it bears no seal for that.
   *
   * @throws IssuanceError `misconfigured` where it is damaged all the same
   */
  parse(id: string, sealed: string): Account | undefined;
  read(id: string): Promise<Kept | undefined>;
  findByKey(thumbprint: string): Promise<Kept | undefined>;
  /** @returns false where there is an account with its key meanwhile */
  create(account: Account, told: TrailEvent): Promise<boolean>;
  /** @param after of the same id and key @returns false where another was faster */
  replace(before: Kept, after: Account, told?: TrailEvent): Promise<boolean>;
  /** Has an account stay that comes. Never fails, and costs nothing but once an hour. */
  noteSeen(account: Account): void;
  /** Gives an account another key, at once. @returns the id of the account that has the key already */
  changeKey(
    before: Kept,
    after: Account,
    told: TrailEvent,
  ): Promise<'changed' | 'late' | { takenBy: string }>;
};

/**
 * KEYS: record, what names it by its key, its use, all accounts, the trail. ARGV: id, record, thumbprint,
 * what named another by the key so far, now, life, its end, the event's entry.
 */
const CREATE = toScript(`
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[4] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[6])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[6])
redis.call('HSET', KEYS[3], 'seen', ARGV[5], 'key', ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[6])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[5])
redis.call('ZADD', KEYS[4], ARGV[7], ARGV[1])
redis.call('XADD', KEYS[5], unpack(ARGV, 8))
return 1`);

/** KEYS: record, the trail if there is an event. ARGV: the record as it was read, the new one, the entry. */
const REPLACE = toScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
if ARGV[3] then redis.call('XADD', KEYS[2], unpack(ARGV, 3)) end
return 1`);

/**
 * KEYS: record, what names it by its old and by its new key, its use, the trail. ARGV: the record as it was
 * read, the new one, id, new thumbprint, the event's entry. Answers 0 where the record is another, and the id
 * of the account that has the new key.
 */
const CHANGE_KEY = toScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local taken = redis.call('GET', KEYS[3])
if taken then return taken end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
redis.call('SET', KEYS[3], ARGV[3])
local life = redis.call('PTTL', KEYS[1])
if life > 0 then redis.call('PEXPIRE', KEYS[3], life) end
if redis.call('GET', KEYS[2]) == ARGV[3] then redis.call('DEL', KEYS[2]) end
redis.call('HSET', KEYS[4], 'key', ARGV[4])
redis.call('XADD', KEYS[5], unpack(ARGV, 5))
return 1`);

/** @throws AcmeError as RFC 8555 section 7.3.6 has it */
export function refuseDeactivated({ status }: Account): void {
  if (status !== 'valid') throw new AcmeError('unauthorized', 'the account is deactivated', { status: 401 });
}

export const newAccountId = () => randomBytes(16).toString('hex');

/** @param seals of the installation: a record without its seal is not there */
export function openAccounts(store: Store, seals: Seals, clock: Pick<Clock, 'now'>): Accounts {
  const { redis, prefix } = store;
  const keys = accountKeys(prefix);
  const [trail, { entryFor }] = [trailKey(prefix), openTrail(store)];
  const nameOf = (id: string) => `acme account ${id}`;
  const seal = (account: Account) => toSealed(seals, nameOf(account.id), JSON.stringify(account));

  function parse(id: string, sealed: string): Account | undefined {
    const text = fromSealed(seals, nameOf(id), sealed);
    return text === undefined ? undefined : parseValue(keys.record(id), text, isAccount);
  }

  async function read(id: string): Promise<Kept | undefined> {
    const text = await redis.get(keys.record(id));
    const account = text === null ? undefined : parse(id, text);
    return text !== null && account ? { account, text } : undefined;
  }

  /** `id`: what Redis says, where the account may be gone, or have another key. */
  async function find(thumbprint: string): Promise<{ id: string | null; kept: Kept | undefined }> {
    const id = await redis.get(keys.byKey(thumbprint));
    const kept = id === null ? undefined : await read(id);
    return { id, kept: kept?.account.thumbprint === thumbprint ? kept : undefined };
  }

  return {
    key: keys.record,
    parse,
    noteSeen: openNoteSeen(store, clock),
    read: id => needingRedis(() => read(id)),
    findByKey: thumbprint => needingRedis(async () => (await find(thumbprint)).kept),
    create: (account, told) =>
      needingRedis(async () => {
        const { id, thumbprint } = account;
        const other = await find(thumbprint);
        if (other.kept) return false;
        const own = [keys.record(id), keys.byKey(thumbprint), keys.use(id), keys.all, trail];
        const now = clock.now();
        const values = [id, seal(account), thumbprint, other.id ?? '', now, IDLE_LIFE, now + IDLE_LIFE];
        return (await runScript(redis, CREATE, own, [...values, ...entryFor(told)])) === 1;
      }),
    replace: ({ text }, after, told) =>
      needingRedis(async () => {
        const values = [text, seal(after), ...(told ? entryFor(told) : [])];
        const own = [keys.record(after.id), ...(told ? [trail] : [])];
        return (await runScript(redis, REPLACE, own, values)) === 1;
      }),
    changeKey: ({ account, text }, after, told) =>
      needingRedis(async () => {
        const { id, thumbprint } = after;
        const named = [keys.byKey(account.thumbprint), keys.byKey(thumbprint)];
        const own = [keys.record(id), ...named, keys.use(id), trail];
        const values = [text, seal(after), id, thumbprint, ...entryFor(told)];
        const answer = await runScript(redis, CHANGE_KEY, own, values);
        if (answer === 1) return 'changed';
        return answer === 0 ? 'late' : { takenBy: String(answer) };
      }),
  };
}
