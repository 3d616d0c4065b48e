import type { Clock, Log } from '../base/basics.ts';
import { describeError } from '../base/errors.ts';
import {
  isText,
  openGetTogether,
  parseValue,
  runScript,
  type Store,
  shapeOf,
  toScript,
} from '../base/redis.ts';
import { scanPart } from '../base/scan.ts';
import type { StorageFaults } from '../base/storage-faults.ts';
import { readCertificate, splitChain } from '../pki/certificate.ts';
import type { CsrText } from '../pki/csr.ts';
import { fingerprintOf, formatRecord, parseRecord } from './entry-record.ts';
import { isFresh, type KeptEntry, type Storage, type StoredCertificate } from './storage.ts';
import type { KeepingConfig } from './storage-section.ts';
import { isChainOf, openReadEntries, readEntry, readWholeEntry } from './stored-entry.ts';

const DAY_SECONDS = 24 * 3_600;
const KEYS_PER_PART = 1_000;

/** The value of a key, as JSON has it; `quarry` is the certificate's record. */
type Value = { csr: string; chain: string; quarry?: unknown };

const isEntry = shapeOf<Value>({ csr: isText, chain: isText, quarry: () => true });

/** One key for each CSR, which leaves `keepExpired` days after its certificate's end. */
export function openRedisStorage(
  config: { name: string } & KeepingConfig,
  parts: { store: Store; clock: Clock; log: Log; faults: StorageFaults },
): Storage {
  const { name, keepExpired } = config;
  const { store, clock, log, faults } = parts;
  const { redis, prefix } = store;
  const entries = openReadEntries();
  const getTogether = openGetTogether(redis);
  const base = `${prefix}:storage:${name}:`;
  const damaged = (key: string, error: unknown) => {
    const entry = { storage: name, key: base + key };
    log.warn({ ...entry, reason: describeError(error) }, 'stored entry is damaged, taken as absent');
    return undefined;
  };

  function parse(key: string, text: string | null): KeptEntry | undefined {
    if (text === null) return undefined;
    try {
      const { csr, chain, quarry } = parseValue(base + key, text, isEntry);
      return readWholeEntry({ csr, chain, record: quarry });
    } catch (error) {
      return damaged(key, error);
    }
  }

  /** The text itself is the mark: to compare it is cheaper than to parse it. */
  function readOnce(csr: CsrText, text: string): StoredCertificate {
    const known = entries.recall(csr.digest, () => text);
    if (known) return known;
    const value = parseValue(base + csr.digest, text, isEntry);
    const stored = readEntry(csr, { csr: value.csr, chain: value.chain, record: value.quarry });
    entries.remember(csr.digest, text, stored);
    return stored;
  }

  const read = async (key: string) => parse(key, await getTogether(base + key));

  /** @returns what goes */
  async function removeIf(key: string, goes: (kept: KeptEntry) => boolean): Promise<KeptEntry | undefined> {
    const text = await redis.get(base + key);
    const kept = parse(key, text);
    if (!kept || text === null || !goes(kept)) return undefined;
    await runScript(redis, REMOVE_IF_SAME, [base + key], [text]);
    return kept;
  }

  return {
    name,
    async get(csr, isGood = () => true) {
      const text = await getTogether(base + csr.digest);
      if (text === null) return undefined;
      try {
        const stored = readOnce(csr, text);
        return isFresh(stored, config, clock.now()) && isGood(stored) ? stored : undefined;
      } catch (error) {
        return damaged(csr.digest, error);
      }
    },
    async put(csr: CsrText, chain, issuedBy, life) {
      const [leafPem = ''] = splitChain(chain);
      const { notAfter } = life ?? readCertificate(leafPem);
      const expiry = Math.floor(notAfter / 1000) + keepExpired * DAY_SECONDS;
      const quarry = formatRecord({ certificate: fingerprintOf(leafPem), issuedBy });
      const value: Value = { csr: csr.pem, chain, quarry };
      await redis.set(base + csr.digest, JSON.stringify(value), 'EXAT', expiry).catch(error => {
        throw faults.failed(name, 'write', csr.digest, error);
      });
      faults.worked(name, 'write');
    },
    upkeep: {
      keyOf: csr => csr.digest,
      read,
      async keys(cursor) {
        const wanted = { start: base, rest: '*', count: KEYS_PER_PART };
        const [next, keys] = await scanPart(redis, wanted, cursor || '0');
        return { keys: keys.map(key => key.slice(base.length)), cursor: next === '0' ? undefined : next };
      },
      async expire(key, before) {
        await removeIf(key, ({ leaf }) => leaf.notAfter < before);
        return (await read(key))?.leaf.notAfter;
      },
      async setRenewFrom(key, chain, at) {
        const text = await redis.get(base + key);
        if (text === null || chainIn(text) !== chain) return false;
        const value = parseValue(base + key, text, isEntry);
        const certificate = fingerprintOf(chain);
        const { issuedBy } = parseRecord(value.quarry, certificate) ?? {};
        const quarry = formatRecord({ certificate, issuedBy, renewFrom: at });
        const changed = JSON.stringify({ ...value, quarry });
        return (await runScript(redis, SET_IF_SAME, [base + key], [text, changed])) === 1;
      },
      async remove(key, certificate) {
        const text = await redis.get(base + key);
        if (!isChainOf(certificate, chainIn(text))) return undefined;
        return removeIf(key, kept => isChainOf(certificate, kept.chain));
      },
    },
  };
}

/** '' where there is no entry, or only a damaged one. */
function chainIn(text: string | null): string {
  try {
    return String(JSON.parse(text ?? 'null')?.chain ?? '');
  } catch {
    return '';
  }
}

/**
 * A certificate that is put meanwhile keeps its own value. KEYS: the entry. ARGV: its old value, its new one.
 */
const SET_IF_SAME = toScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1`);

/** Whoever puts a new certificate meanwhile keeps it. */
const REMOVE_IF_SAME = toScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`);
