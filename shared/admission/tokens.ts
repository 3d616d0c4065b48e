import type { Clock } from '../base/basics.ts';
import { findCidrFault, type Identifier, toAddressSet } from '../base/identifier.ts';
import { needingRedis, runScript, type Store, toScript } from '../base/redis.ts';
import { toDomainGlob } from './admit.ts';
import type { Seals } from './hmac.ts';
import type { AccountBinding } from './methods.ts';
import { deny } from './refusal.ts';
import type { JudgeToken } from './token-method.ts';
import {
  type KeptToken,
  openTokenRecords,
  type TokenRecord,
  tokenBindingKey,
  tokenKey,
  tokenUseKey,
} from './token-record.ts';
import type { OneCertificate, ShownToken, Used } from './token-types.ts';

/** What may be told to anybody. */
const UNKNOWN = 'the token is not known';

/**
 * Judges tokens by what Redis says now, with one command for each request. Only who has a token hears why it
 * is not good.
 *
 * @param seals of the installation
 */
export function openJudgeToken(store: Store, seals: Seals, clock: Pick<Clock, 'now'>): JudgeToken {
  const records = openTokenRecords(store, seals);
  const asked = new WeakMap<ShownToken | AccountBinding, Promise<KeptToken | undefined>>();

  /** Once for a request, however many blocks ask. */
  function read(token: ShownToken | AccountBinding, digest: string): Promise<KeptToken | undefined> {
    const kept = asked.get(token) ?? needingRedis(() => records.read(digest));
    asked.set(token, kept);
    return kept;
  }

  function toOneCertificate(digest: string, { text, use, useText }: KeptToken): OneCertificate {
    const [own, kept] = [tokenKey(store.prefix, digest), tokenUseKey(store.prefix, digest)];
    const toText = (used: Used, enqueued: boolean) =>
      records.toUseText(digest, { ...used, at: clock.now(), enqueued });
    let standing = useText ?? '';
    return {
      digest,
      used: use,
      async bind(wanted) {
        const args = [text, toText(wanted, false)];
        const bound = await needingRedis(() => runScript(store.redis, BIND, [own, kept], args));
        if (typeof bound !== 'string') return deny('the token was revoked');
        standing = bound;
        return records.openUse(digest, bound);
      },
      async noteEnqueued(used) {
        const args = [standing, toText(used, true)];
        await needingRedis(() => runScript(store.redis, NOTE_ENQUEUED, [kept], args));
      },
    };
  }

  /** The digest, once it is shown for sure that its token's key is known. */
  function digestOf(shown: ShownToken | AccountBinding): string | undefined {
    if ('digest' in shown) return shown.digest;
    return shown.isMadeWith(tokenBindingKey(seals, shown.kid)) ? shown.kid : undefined;
  }

  return async (shown, block) => {
    const digest = digestOf(shown);
    const kept = digest === undefined ? undefined : await read(shown, digest);
    if (digest === undefined || !kept) return 'digest' in shown ? { refused: UNKNOWN } : undefined;
    const { record } = kept;
    const refused = findFault(record, block, clock.now());
    if (refused !== undefined) return { refused };
    const known = { by: `token ${record.name}`, mayHave: toMayHave(record.names) };
    return record.once ? { ...known, once: toOneCertificate(digest, kept) } : known;
  };
}

/**
 * Binds where nobody has yet, and only while the token is as it was read.
 *
 * KEYS: the token, its use. ARGV: the token's record, the use. Answers the use that stands, or nil.
 */
const BIND = toScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
redis.call('SET', KEYS[2], ARGV[2], 'NX')
return redis.call('GET', KEYS[2])`);

/**
 * One that was let go meanwhile, as its job has failed, stays so, and what another job has bound stays its.
 *
 * KEYS: the use. ARGV: the use that stands, the new one.
 */
const NOTE_ENQUEUED = toScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return 1`);

function findFault(
  { revoked, until, block: own }: TokenRecord,
  block: string,
  now: number,
): string | undefined {
  if (revoked !== undefined) return `the token was revoked at ${new Date(revoked).toISOString()}`;
  if (until !== undefined && until <= now) return `the token ended at ${new Date(until).toISOString()}`;
  return own === block ? undefined : 'no auth block that admits this request takes the token';
}

/** @param names globs and CIDRs */
function toMayHave(names: readonly string[]): (identifier: Identifier) => boolean {
  const isCidr = (name: string) => findCidrFault(name) === undefined;
  const globs = names.filter(name => !isCidr(name)).map(toDomainGlob);
  const holdsAddress = toAddressSet(names.filter(isCidr));
  return ({ type, value }) => (type === 'dns' ? globs.some(matches => matches(value)) : holdsAddress(value));
}
