import { createHash } from 'node:crypto';
import { parseNumber, runScript, type Store, toScript } from '../base/redis.ts';

/**
 * What an auth block gets certificates for: its hosts with these names have their certificates in this
 * storage.
 */
type Holder = { block: string; storage: string; names: readonly string[] };

/**
 * Which certificate a holder got last. A host with a new key posts another CSR from then on, and its old one
 * never again; no message says so, but no client fetches the old certificate any more either.
 */
export type NewestIndex = {
  /**
   * A holder got a certificate.
   *
   * @param newest its id, and when that was, in milliseconds since the epoch
   * @param ahead no client had asked for it: then it is newer than itself alone
   */
  note(holder: Holder, newest: Newest, ahead: boolean): Promise<void>;
  find(holder: Holder): Promise<Newest | undefined>;
};

type Newest = { id: string; at: number };

/** No certificate of the public CAs lives longer. */
const LIFE = 400 * 24 * 3_600_000;

/**
 * KEYS: the holder. ARGV: id, when, '1' where it was renewed ahead, how long this is kept. A holder's value
 * is when and id.
 */
const NOTE = toScript(`
local there = redis.call('GET', KEYS[1])
if ARGV[3] == '1' and there and string.match(there, ' (.*)$') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[1], 'PX', ARGV[4])
return 1`);

export function openNewestIndex({ redis, prefix }: Store): NewestIndex {
  const keyOf = ({ block, storage, names }: Holder) => {
    const digest = createHash('sha256').update(JSON.stringify([block, storage, [...names].sort()]));
    return `${prefix}:renewals:newest:${digest.digest('hex')}`;
  };
  return {
    note: async (holder, { id, at }, ahead) => {
      await runScript(redis, NOTE, [keyOf(holder)], [id, Math.round(at), ahead ? 1 : 0, LIFE]);
    },
    async find(holder) {
      const text = await redis.get(keyOf(holder));
      if (text === null) return undefined;
      const space = text.indexOf(' ');
      return { at: parseNumber(keyOf(holder), text.slice(0, space)), id: text.slice(space + 1) };
    },
  };
}
