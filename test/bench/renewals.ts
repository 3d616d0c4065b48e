import { renewDue } from '../../services/scheduler/renew-due.ts';
import { lookAtStored, type RenewalParts } from '../../services/scheduler/renew-stored.ts';
import { openCaConnection } from '../../shared/acme/connection.ts';
import { openAdmission } from '../../shared/admission/admit.ts';
import { openRedis } from '../../shared/base/open-redis.ts';
import { openBudget } from '../../shared/limits/budget.ts';
import { encodePem, readCertificate } from '../../shared/pki/certificate.ts';
import { type CsrText, readCsr } from '../../shared/pki/csr.ts';
import { makeCsr } from '../../shared/pki/make-csr.ts';
import { readPrivateKey } from '../../shared/pki/private-key.ts';
import type { SignJobData } from '../../shared/queue/sign-records.ts';
import { openNewestIndex } from '../../shared/renewal/newest-index.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import type { StorageConfig } from '../../shared/storage/storage-section.ts';
import { listen } from '../support/listen.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';
import { turnedClock } from '../support/turned-clock.ts';
import type { Figures, Tell } from './benchmark.ts';
import { chainsLike, makeCertificate } from './certificate.ts';
import { percentile } from './statistics.ts';

const certificates = 5_000;
const renewWithin = 30;
const hour = 3_600_000;
const day = 24 * hour;
/** Time is turned on by so much between two passes of the scheduler. */
const step = hour / 4;
const prefix = '{quarry}';
const keeping = { renewWithin, renewAhead: true, keepExpired: 30 };
const config: StorageConfig = { name: 'kept', type: 'redis', ...keeping };
/** Let's Encrypt's. */
const orders = { count: 300, period: 3 * hour };

/**
 * 5,000 certificates of 90 days that were issued in the same second, at a CA without renewal information that
 * allows 300 orders in three hours: the clock is turned until all are renewed. Counted is what falls due in
 * the busiest three hours, beside all of them, which would be due at one moment by their days alone; timed is
 * a look at one of them.
 */
export async function benchRenewals(tell: Tell): Promise<Figures> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await tempDir());
  const server = stack.use(await startRedis());
  const redis = stack.adopt(openRedis({ url: server.url }, 'patient', quietLog), redis => redis.disconnect());
  const ca = stack.use(
    await listen(
      (_, response) => void response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}'),
    ),
  );
  const name = 'host-0.example';
  const first = await makeCertificate(dir, [name]);
  const { keyPem, chain } = first;
  const { chain: successor } = await makeCertificate(dir, [name], 180, first);
  const firstOf = chainsLike(chain, name);
  const successorOf = chainsLike(successor, name);
  const { notBefore, notAfter } = readCertificate(chain);
  const clock = turnedClock(notBefore);
  const parts = { store: { redis, prefix }, clock, log: quietLog };
  const storage = openStorages([config], parts).get('kept');
  if (!storage?.upkeep) throw new Error('there is no storage');
  const renewals = openStoredRenewals(new Map([['kept', config]]), parts.store);
  const budget = openBudget({ redis, prefix }, { account: 'default', ca: 'ca.example' }, { orders }, clock);

  const issuedBy = { account: 'default', directory: `${ca.url}/dir` };

  /** As a worker does when a certificate is issued. */
  async function store(csr: CsrText, text: string, ahead: boolean): Promise<void> {
    await storage?.put(csr, text, issuedBy);
    await renewals.issued(
      'kept',
      { csr, chain: text, leaf: readCertificate(text) },
      { block: 'all', ahead },
      clock.now(),
    );
  }

  const waiting: SignJobData[] = [];
  const due: number[] = [];
  const connection = stack.use(
    openCaConnection({ directoryUrl: `${ca.url}/dir`, userAgent: 'quarry/bench', clock }),
  );
  const renewal: RenewalParts = {
    ...{ ...parts, index: openRenewalIndex({ redis, prefix }), account: 'default' },
    newest: openNewestIndex({ redis, prefix }),
    caOf: () => ({ connection }),
    storages: new Map([['kept', { storage, renewWithin, renewAhead: true }]]),
    admission: openAdmission([everything]),
    signQueue: {
      enqueue: async (data: SignJobData) => `job-${waiting.push(data)}-${due.push(clock.now())}`,
      find: async () => ({ block: 'all', hasFailed: false }),
    } as never,
    records: { readResult: async () => undefined } as never,
    trail: { write: async () => {} },
    notices: { notify: async () => {}, ended: async () => {}, async [Symbol.asyncDispose]() {} },
  };

  const csrs = await makeCsrs(keyPem);
  for (const [number, csr] of csrs.entries()) await store(csr, firstOf({ number, name }), false);
  tell(`${certificates} certificates stored`);

  const looks: number[] = [];
  const never = new AbortController().signal;
  const look: Parameters<typeof renewDue>[1] = async managed => {
    const startedAt = performance.now();
    await lookAtStored(renewal, managed, never);
    looks.push(performance.now() - startedAt);
  };
  let renewed = 0;
  let last = 0;
  let most = 0;
  const startedAt = performance.now();
  clock.turn(59.9 * day);
  while (renewed < certificates) {
    clock.turn(step);
    if (clock.now() > notAfter) throw new Error(`only ${renewed} were renewed before their end`);
    await renewDue(renewal, look, never);
    most = Math.max(most, waiting.length);
    renewed += await work();
  }
  const seconds = (performance.now() - startedAt) / 1_000;

  /** As workers do, at a CA that issues at once. */
  async function work(): Promise<number> {
    let done = 0;
    for (const job of waiting) {
      const claim = { id: job.requestId, what: job.requestId, rank: job.due ?? 0, patience: clock.now() };
      if (await budget.takeOrder(job.identifiers, claim)) break;
      await store(readCsr(Buffer.from(job.csr)), successorOf({ number: renewed + done, name }), true);
      last = clock.now();
      done++;
    }
    waiting.splice(0, done);
    return done;
  }

  const busiest = Math.max(
    ...due.map(at => due.filter(other => other >= at && other < at + orders.period).length),
  );
  const days = (at: number) => ((at - notBefore) / day).toFixed(1);
  tell(`${looks.length} looks in ${seconds.toFixed(1)} s`);
  const reads = await timeReads(csrs, async csr => storage.upkeep?.read(csr.digest));
  return {
    value: busiest,
    unit: 'renewals due in the busiest three hours',
    beside: 'all of them, as by their days alone; its p50 and p99 are those of reading an entry',
    besideValue: certificates,
    ...{ p50: percentile(looks, 0.5), p99: percentile(looks, 0.99) },
    ...{ besideP50: percentile(reads, 0.5), besideP99: percentile(reads, 0.99) },
    ...{ certificates, looks: looks.length, looksPerSecond: looks.length / seconds, mostWaiting: most },
    note: `due from day ${days(due[0] ?? 0)}, renewed by day ${days(last)} of 90, never more than ${most} waiting for the CA's limit; ${Math.round(looks.length / seconds)} looks a second, orders included`,
  };
}

const everything = {
  ...{ name: 'all', ips: [], all: true, domains: ['*'], addresses: [], storage: 'kept' },
  ...{ verifications: ['http'], challenges: ['http-01' as const] },
  accounts: [{ account: 'default' }],
};

/** Each with a registered domain of its own, and all with one key. */
async function makeCsrs(keyPem: string): Promise<CsrText[]> {
  const key = readPrivateKey(keyPem);
  const csrs: CsrText[] = [];
  while (csrs.length < certificates) {
    const der = await makeCsr(key, [{ type: 'dns', value: `host-${csrs.length}.example` }]);
    csrs.push(readCsr(Buffer.from(encodePem('CERTIFICATE REQUEST', der))));
  }
  return csrs;
}

async function timeReads(csrs: CsrText[], read: (csr: CsrText) => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (const csr of csrs.slice(0, 1_000)) {
    const startedAt = performance.now();
    await read(csr);
    times.push(performance.now() - startedAt);
  }
  return times;
}
