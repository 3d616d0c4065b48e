import assert from 'node:assert/strict';
import { findIssuer } from '../../services/scheduler/poll-renewal-info.ts';
import { renewDue } from '../../services/scheduler/renew-due.ts';
import { lookAtStored, type RenewalParts } from '../../services/scheduler/renew-stored.ts';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import { openAdmission } from '../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import type { NotifyEvent } from '../../shared/notify/message.ts';
import { readCertificate } from '../../shared/pki/certificate.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import type { SignJobData, SignResult } from '../../shared/queue/sign-records.ts';
import { openNewestIndex } from '../../shared/renewal/newest-index.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { openStoredRenewals, storedId } from '../../shared/renewal/stored-renewals.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import type { StorageConfig } from '../../shared/storage/storage-section.ts';
import type { TrailEvent } from '../../shared/trail/event.ts';
import { startFakeCa } from '../shared/acme/fake-ca.ts';
import { connect } from '../shared/acme/open-connection.ts';
import { makeCertificate, makeCsr } from '../shared/pki/openssl-csr.ts';
import { keptLog } from '../support/kept-log.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

export const day = 24 * 3_600_000;
const never = new AbortController().signal;

const { newStore } = await startOwnRedis();

export const web: AuthBlockConfig = {
  ...{ name: 'web', ips: [], all: true, domains: ['*.example.org'], addresses: [] },
  ...{ verifications: ['http'], challenges: ['http-01'], storage: 'kept' },
  accounts: [{ account: 'account', certificateProfile: 'short' }],
};
export const csr = readCsr(Buffer.from(makeCsr({ names: 'DNS:a.example.org' })));
export const chain = makeCertificate({ names: 'DNS:a.example.org', days: 90 });
export const leaf = readCertificate(chain);
export const newer = makeCertificate({ names: 'DNS:a.example.org', days: 180 });
export const id = storedId('kept', csr);

/**
 * One stored certificate that a client got when it was new, and a scheduler whose jobs end as the test says.
 */
export async function openGround(
  blocks: AuthBlockConfig[] = [web],
  { renewAhead = true }: { renewAhead?: boolean } = {},
) {
  const stack = new AsyncDisposableStack();
  const ca = stack.use(await startFakeCa());
  const store = newStore();
  const { redis, prefix } = store;
  const clock = turnedClock(leaf.notBefore);
  const log = keptLog();
  const config: StorageConfig = {
    name: 'kept',
    type: 'redis',
    renewWithin: 30,
    renewAhead,
    keepExpired: 30,
  };
  const storage = openStorages([config], { store, clock, log: log.log }).get('kept');
  assert.ok(storage);
  const index = openRenewalIndex(store);
  const renewals = openStoredRenewals(new Map([['kept', config]]), store);
  const [jobs, told, ended]: [SignJobData[], NotifyEvent[], string[]] = [[], [], []];
  const results = new Map<string, SignResult>();
  const events: TrailEvent[] = [];
  const [lost, givenUp] = [new Set<string>(), new Set<string>()];
  const connection = stack.use(connect(ca.directoryUrl, clock));
  const issuedBy = { account: 'account', directory: ca.directoryUrl };
  const parts: RenewalParts = {
    ...{ index, clock, log: log.log, account: 'account', admission: openAdmission(blocks) },
    newest: openNewestIndex(store),
    caOf: issuedBy => findIssuer([{ name: 'account', connection }], issuedBy),
    storages: new Map([['kept', { storage, renewWithin: 30, renewAhead }]]),
    signQueue: {
      enqueue: async (data: SignJobData) => `job-${jobs.push(data)}`,
      find: async (job: string) =>
        lost.has(job) ? undefined : { block: 'web', hasFailed: givenUp.has(job) },
    } as never,
    records: { readResult: async (job: string) => results.get(job) } as never,
    trail: { write: async event => void events.push(event) },
    notices: {
      notify: async event => void told.push(event),
      ended: async subject => void ended.push(subject),
      async [Symbol.asyncDispose]() {},
    },
  };
  await storage.put(csr, chain, issuedBy);
  await renewals.issued('kept', { csr, chain, leaf, issuedBy }, { block: 'web', ahead: false }, clock.now());
  const managed = async () => (await index.read([id]))[0];
  return {
    prefix,
    redis,
    ca,
    issuedBy,
    clock,
    log,
    storage,
    index,
    renewals,
    jobs,
    told,
    events,
    ended,
    results,
    lost,
    givenUp,
    parts,
    managed,
    look: () => renewDue(parts, one => lookAtStored(parts, one, never), never),
    /** Turns the clock to so many days after the certificate's begin. */
    turnTo: (days: number) => clock.turn(leaf.notBefore + days * day - clock.now()),
    fail: (job: number, code: 'denied' | 'unavailable', detail: string) =>
      results.set(`job-${job}`, { outcome: 'failed', block: 'web', error: { code, detail } }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Has the CA suggest a window, in days after the certificate's begin. */
export function suggest(
  { ca }: Awaited<ReturnType<typeof openGround>>,
  start: number,
  end: number,
  explanationURL?: string,
): void {
  const at = (days: number) => new Date(leaf.notBefore + days * day).toISOString();
  ca.on('/dir', () => ({ body: { renewalInfo: `${ca.url}/info` } }));
  ca.on(`/info/${renewalInfoId(chain)}`, () => ({
    body: { suggestedWindow: { start: at(start), end: at(end) }, explanationURL },
  }));
}
