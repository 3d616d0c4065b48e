import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Redis } from '../base/redis.ts';
import { readCertificate } from '../pki/certificate.ts';
import type { CsrText } from '../pki/csr.ts';
import { splitChain } from '../pki/pem.ts';
import { isFresh, type Storage } from './storage.ts';
import { openEntryReader } from './stored-entry.ts';

/** One key for each CSR, which leaves with its certificate's end. */
export function openRedisStorage(
  { name, prefix, renewWithin }: { name: string; prefix: string; renewWithin: number },
  { redis, clock, log }: { redis: Redis; clock: Clock; log: Log },
): Storage {
  const readEntry = openEntryReader();
  const keyOf = (csr: CsrText) => `${prefix}:storage:${name}:${csr.digest}`;
  return {
    name,
    async get(csr) {
      const text = await redis.get(keyOf(csr));
      if (text === null) return undefined;
      try {
        const entry = JSON.parse(text) as { csr: string; chain: string };
        const stored = readEntry(csr, entry.csr, entry.chain);
        return isFresh(stored.leaf, renewWithin, clock.now()) ? stored : undefined;
      } catch (error) {
        log.warn({ storage: name, reason: describeError(error) }, 'stored entry is damaged, taken as absent');
        return undefined;
      }
    },
    async put(csr, chain) {
      const [leafPem = ''] = splitChain(chain);
      const expiry = Math.floor(readCertificate(leafPem).notAfter / 1000);
      await redis.set(keyOf(csr), JSON.stringify({ csr: csr.pem, chain }), 'EXAT', expiry);
    },
  };
}
