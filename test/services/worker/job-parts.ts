import type { SignJob, SignJobParts } from '../../../services/worker/sign-run.ts';
import { openPollPaces } from '../../../shared/order/poll-pace.ts';
import type { SignJobData, SignResult } from '../../../shared/queue/sign-job-data.ts';
import { LockLostError, type SignRecords } from '../../../shared/queue/sign-records.ts';
import type { Storage } from '../../../shared/storage/storage.ts';
import { type FakeCa, startFakeCa } from '../../shared/acme/fake-ca.ts';
import { accountKeyPem, connect, openTransport } from '../../shared/acme/open-connection.ts';
import { type CaScript, type ScriptedCa, scriptCa } from '../../shared/order/scripted-ca.ts';
import { serveOrder } from '../../shared/order/serve-order.ts';
import { ecKey, makeCertificate, makeCsr } from '../../shared/pki/openssl-csr.ts';
import { keptLog } from '../../support/kept-log.ts';
import { type TurnedClock, turnedClock } from '../../support/turned-clock.ts';

export const names = ['a.example', 'b.example'];
const san = names.map(name => `DNS:${name}`).join(',');
export const csr = makeCsr({ names: san });
/** As a CA sends a chain: the leaf for the CSR's key, then another certificate. */
export const leaf = makeCertificate({ names: san });
export const issuer = makeCertificate({ key: ecKey('P-384') });

export const jobData: SignJobData = {
  csr,
  identifiers: names.map(value => ({ type: 'dns', value })),
  ...{ account: 'account', solvers: ['http'], storage: 'kept', block: 'mail', requestId: 'request-1' },
};

/** Checkpoints as text and results, as Redis has them; `held` is whether the job's lock is still this worker's. */
export type KeptRecords = SignRecords & { checkpoints: string[]; results: SignResult[]; held: boolean };

function keepRecords(): KeptRecords {
  const confirm = () => {
    if (!records.held) throw new LockLostError('the job belongs to another worker now');
  };
  const write = <T>(list: T[], value: T) => {
    confirm();
    list.push(value);
  };
  const records: KeptRecords = {
    ...{ checkpoints: [], results: [], held: true },
    confirmLock: async () => confirm(),
    readJob: async () => {
      const [checkpoint, result] = [records.checkpoints.at(-1), records.results.at(-1)];
      return {
        checkpoint: checkpoint && JSON.parse(checkpoint),
        resultWritten: result && { key: 'the key', result },
      };
    },
    writeCheckpoint: async (_, state) => write(records.checkpoints, JSON.stringify(state)),
    readResult: async () => records.results.at(-1),
    readResults: async () => records.results,
    markRevoked: async () => {},
    async writeResult(_, result) {
      write(records.results, result);
      return 'the key';
    },
  };
  return records;
}

type KeptStorage = Storage & { chains: string[] };

/** Limits that never stand in the way, and flights that are always free. */
export function calmParts(
  url: string,
): Pick<SignJobParts, 'account' | 'flights' | 'limits' | 'budget' | 'notices' | 'paces' | 'outages'> {
  const nothing = async () => undefined;
  const account = { keyPem: accountKeyPem, url };
  return {
    account: { current: () => account, renew: async () => {} },
    flights: { enter: async () => true, leave: async () => {}, key: () => 'the flight' },
    limits: {
      ...{ standingAgainst: nothing, recordFailure: nothing, recordSuccess: async () => {} },
      ...{ park: async () => [], list: async () => [], clear: async () => false },
    },
    budget: {
      ...{
        takeOrder: nothing,
        spendCertificate: async () => {},
        spendFailures: async () => {},
        leave: async () => {},
      },
    },
    notices: { notify: async () => {} },
    paces: openPollPaces(),
    outages: { anySince: () => false },
  };
}

export type JobBench = AsyncDisposable & {
  http: FakeCa;
  /** What the CA plays; the solver's calls are in its list too. */
  ca: ScriptedCa;
  parts: SignJobParts;
  records: KeptRecords;
  storage: KeptStorage;
  clock: TurnedClock;
  log: ReturnType<typeof keptLog>;
  job: SignJob;
  stopping: AbortController;
  abort: AbortController;
  signals: { stopping: AbortSignal; abort: AbortSignal };
};

/** All that a sign job needs: a CA over HTTP that plays a script, and the rest in memory. */
export async function openJobBench(script: CaScript = {}): Promise<JobBench> {
  await using stack = new AsyncDisposableStack();
  const http = stack.use(await startFakeCa());
  const clock = turnedClock(1_000_000);
  const connection = stack.use(connect(http.directoryUrl, clock));
  const ca = scriptCa({ chain: leaf + issuer, ...script, base: http.url });
  serveOrder(http, ca);
  const { headers } = await openTransport(connection).signedRequest(`${http.url}/new-account`, {});
  http.requests.length = 0;
  const records = keepRecords();
  const chains: string[] = [];
  const storage: KeptStorage = {
    ...{ name: 'kept', chains, get: async () => undefined },
    put: async (_, chain) => void chains.push(chain),
  };
  const log = keptLog();
  const [stopping, abort] = [new AbortController(), new AbortController()];
  const running = stack.move();
  return {
    ...{ http, ca, records, storage, clock, log, stopping, abort },
    parts: {
      ...{ connection, records, clock, log: log.log, ...calmParts(headers.location ?? '') },
      solvers: new Map([['http', ca.solver]]),
      storages: new Map([['kept', storage]]),
      renewals: {
        issued: async () => {},
        found: async () => {},
        fetched: async () => {},
        revoked: async () => {},
      },
    },
    job: { lock: { jobId: 'job-1', token: 'token-1' }, data: jobData, createdAt: clock.now() },
    signals: { stopping: stopping.signal, abort: abort.signal },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
