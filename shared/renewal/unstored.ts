import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import type { Clock } from '../base/basics.ts';
import { isText, parseValue, runScript, type Store, shapeOf, toScript } from '../base/redis.ts';
import { runAll } from '../base/refusals.ts';
import { readCertificate, splitChain } from '../pki/certificate.ts';
import { readCsr } from '../pki/csr.ts';
import { renewalTime } from '../pki/life.ts';
import type { IssuedBy, KeptEntry, Storage } from '../storage/storage.ts';
import type { StorageConfig } from '../storage/storage-section.ts';
import type { StoredRenewals } from './stored-renewals.ts';

const DAY = 24 * 3_600_000;
/** Milliseconds that a certificate is kept at most which its storage does not take. */
const LONGEST_KEPT = 7 * DAY;

/** A certificate that its storage did not take, and the text by which Redis knows it. */
export type UnstoredEntry = KeptEntry & { issuedBy: IssuedBy; sealed: string };

/**
 * Certificates that their storages did not take, as a disk is full: kept in Redis, sealed, until they are
 * stored, for seven days at most, and no longer than they are fresh.
 */
export type Unstored = {
  /** Where a certificate is kept for a CSR, by its digest. */
  keyOf(storage: string, digest: string): string;
  keep(storage: string, entry: Pick<UnstoredEntry, 'csr' | 'chain' | 'leaf' | 'issuedBy'>): Promise<void>;
  /** @param sealed what is at `keyOf` @returns `undefined` where it bears no seal for this place */
  parse(storage: string, digest: string, sealed: string | null | undefined): UnstoredEntry | undefined;
  /** All of a storage. */
  list(storage: string): Promise<UnstoredEntry[]>;
  /** Whether it is still kept: it may be revoked since it was read. */
  has(storage: string, entry: Pick<UnstoredEntry, 'csr' | 'sealed'>): Promise<boolean>;
  /** Forgets one, unless another one has come in its place. */
  drop(storage: string, entry: Pick<UnstoredEntry, 'csr' | 'sealed'>): Promise<void>;
};

type Value = { csr: string; chain: string; account: string; directory: string };

const isValue = shapeOf<Value>({ csr: isText, chain: isText, account: isText, directory: isText });

/** KEYS: the certificate, those of its storage. ARGV: its text, its digest. */
const DROP_IF_SAME = toScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return redis.call('SREM', KEYS[2], ARGV[2])`);

export function openUnstored(
  storages: ReadonlyMap<string, StorageConfig>,
  { redis, prefix }: Store,
  seals: Seals,
  clock: Clock,
): Unstored {
  const keyOf = (storage: string, digest: string) => `${prefix}:unstored:${storage}:${digest}`;
  const allOf = (storage: string) => `${prefix}:unstored:${storage}`;

  function lifeOf(storage: string, leaf: KeptEntry['leaf']): number {
    const config = storages.get(storage);
    const days = config && config.type !== 'none' ? config.renewWithin : undefined;
    return Math.floor(Math.min(renewalTime(leaf, days) - clock.now(), LONGEST_KEPT));
  }

  const parse: Unstored['parse'] = (storage, digest, sealed) => {
    const key = keyOf(storage, digest);
    const text = sealed ? fromSealed(seals, key, sealed) : undefined;
    if (text === undefined || !sealed) return undefined;
    const { csr, chain, account, directory } = parseValue(key, text, isValue);
    const leaf = readCertificate(splitChain(chain)[0] ?? '');
    return { csr: readCsr(Buffer.from(csr)), chain, leaf, issuedBy: { account, directory }, sealed };
  };

  return {
    keyOf,
    parse,
    async keep(storage, { csr, chain, leaf, issuedBy }) {
      const life = lifeOf(storage, leaf);
      if (life <= 0) return;
      const key = keyOf(storage, csr.digest);
      const value: Value = { csr: csr.pem, chain, ...issuedBy };
      const sealed = toSealed(seals, key, JSON.stringify(value));
      await runAll(redis, commands => commands.set(key, sealed, 'PX', life).sadd(allOf(storage), csr.digest));
    },
    async list(storage) {
      const digests = await redis.smembers(allOf(storage));
      if (digests.length === 0) return [];
      const sealed = await redis.mget(digests.map(digest => keyOf(storage, digest)));
      const lapsed = digests.filter((_, at) => sealed[at] === null);
      if (lapsed.length > 0) await redis.srem(allOf(storage), ...lapsed);
      return digests.flatMap((digest, at) => parse(storage, digest, sealed[at]) ?? []);
    },
    has: async (storage, { csr, sealed }) => (await redis.get(keyOf(storage, csr.digest))) === sealed,
    async drop(storage, { csr: { digest }, sealed }) {
      await runScript(redis, DROP_IF_SAME, [keyOf(storage, digest), allOf(storage)], [sealed, digest]);
    },
  };
}

/** What people are told of a storage that takes no certificates: one event, however many fail. */
export const storageSubject = (storage: string) => `storage/${storage}`;

/**
 * Stores what was kept, unless something newer is stored by now, and plans its renewal.
 *
 * @throws IssuanceError `unavailable` where the storage still fails
 */
export async function storeKept(
  {
    unstored,
    renewals,
    clock,
  }: { unstored: Unstored; renewals: Pick<StoredRenewals, 'found'>; clock: Clock },
  storage: Storage,
  entry: UnstoredEntry,
): Promise<void> {
  const { csr, chain, leaf, issuedBy } = entry;
  const place = storage.upkeep?.keyOf(csr) ?? csr.digest;
  const there = await storage.upkeep?.read(place);
  const isNewer = !there || there.leaf.notBefore < leaf.notBefore;
  if (isNewer && (await unstored.has(storage.name, entry))) {
    await storage.put(csr, chain, issuedBy, leaf);
    const kept = { csr, chain, leaf, issuedBy };
    await renewals.found(storage.name, [{ place, entry: kept }], clock.now());
  }
  await unstored.drop(storage.name, entry);
}
