import type { SignJob, SignJobParts } from '../../../services/worker/job.ts';
import { type AcmeAccount, openSigner } from '../../../shared/acme/client.ts';
import { type CaConnection, readDirectory } from '../../../shared/acme/connection.ts';
import type { ClientCertificate } from '../../../shared/acme-server/certificates.ts';
import type { Order } from '../../../shared/acme-server/orders.ts';
import { type AuthBlock, openAdmission } from '../../../shared/admission/admit.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import type { ScriptRun } from '../../../shared/base/run-in-turn.ts';
import type { Ca } from '../../../shared/ca/open-ca.ts';
import { newPollPaces } from '../../../shared/ca/poll-paces.ts';
import type { NotifyEvent } from '../../../shared/notify/message.ts';
import {
  LockLostError,
  type SignJobData,
  type SignRecords,
  type SignResult,
  type Told,
} from '../../../shared/queue/sign-records.ts';
import type { Unstored, UnstoredEntry } from '../../../shared/renewal/unstored.ts';
import type { Solver } from '../../../shared/solver/solver.ts';
import type { Storage } from '../../../shared/storage/storage.ts';
import type { TrailEvent } from '../../../shared/trail/event.ts';
import { type FakeCa, startFakeCa } from '../../shared/acme/fake-ca.ts';
import { accountKeyPem, connect, never } from '../../shared/acme/open-connection.ts';
import { type CaScript, type ScriptedCa, scriptCa } from '../../shared/order/scripted-ca.ts';
import { serveOrder } from '../../shared/order/serve-order.ts';
import { ecKey, makeCertificate, makeCsr } from '../../shared/pki/openssl-csr.ts';
import { keptLog } from '../../support/kept-log.ts';
import { testSeals } from '../../support/test-seals.ts';
import { type TurnedClock, turnedClock } from '../../support/turned-clock.ts';

export const names = ['a.example', 'b.example'];
export const san = names.map(name => `DNS:${name}`).join(',');
export const csr = makeCsr({ names: san });
/** As a CA sends a chain: the leaf for the CSR's key, then another certificate. */
export const leaf = makeCertificate({ names: san });
export const issuer = makeCertificate({ key: ecKey('P-384') });

export const jobData: SignJobData = {
  csr,
  identifiers: names.map(value => ({ type: 'dns', value })),
  ...{
    accounts: [{ account: 'account' }],
    solvers: ['http'],
    storage: 'kept',
    block: 'mail',
    requestId: 'request-1',
  },
};

/**
 * Checkpoints as text and results, as Redis has them; `held` is whether the job's lock is still this
 * worker's.
 */
export type KeptRecords = SignRecords & {
  checkpoints: string[];
  results: SignResult[];
  /** What the trail was told in the same moment. */
  told: Told[];
  /** Keys that ends have made void. */
  voided: string[];
  /** Whether somebody listens, and the orders that it was told are being finalized. */
  heard: boolean;
  finalizing: string[];
  held: boolean;
};

function keepRecords(): KeptRecords {
  const confirm = () => {
    if (!records.held) throw new LockLostError('the job belongs to another worker now');
  };
  const write = <T>(list: T[], value: T) => {
    confirm();
    list.push(value);
  };
  const records: KeptRecords = {
    ...{ checkpoints: [], results: [], told: [], voided: [], held: true },
    ...{ heard: false, finalizing: [] },
    confirmLock: async (_, more = []) => {
      confirm();
      return more.map(key => (key === 'heard' && records.heard ? '1' : null));
    },
    readJob: async () => {
      const [checkpoint, result] = [records.checkpoints.at(-1), records.results.at(-1)];
      return {
        checkpoint: checkpoint && JSON.parse(checkpoint),
        resultWritten: result && { key: 'the key', result },
      };
    },
    async writeCheckpoint(_, state, event) {
      write(records.checkpoints, JSON.stringify(state));
      if (event) records.told.push({ event });
    },
    readResult: async () => records.results.at(-1),
    readResults: async () => records.results,
    withhold: async () => {},
    publishFailure: async () => {},
    tokenUse: digest => `token-use:${digest}`,
    enterFlight: async () => [],
    leaveFlight: async () => {},
    heardKey: () => 'heard',
    tellFinalizing: async (_, order) => void records.finalizing.push(order),
    async writeResult(_lock, result, _flight, over = [], told) {
      write(records.results, result);
      records.voided.push(...over);
      if (told) records.told.push(told);
      return 'the key';
    },
    async writeResultAfter([first], ...written) {
      return first && endings.get(first.script)?.() === 1 ? records.writeResult(...written) : undefined;
    },
  };
  return records;
}

/** As an account is held that is not open yet. */
export const notOpen = {
  current: undefined,
  fault: new IssuanceError('unavailable', 'the account is not open yet'),
};

type KeptUnstored = Unstored & { kept: UnstoredEntry[] };
type KeptStorage = Storage & { chains: string[] };

const nothing = async () => undefined;

/** A CA whose limits never stand in the way, whose breaker is closed and whose account is open. */
export function calmCa(name: string, connection: CaConnection, account: AcmeAccount): Ca {
  return {
    name,
    directoryUrl: connection.directoryUrl,
    connection,
    account: {
      current: account,
      fault: undefined,
      open: async () => account,
      renew: async () => account,
      note: () => {},
    },
    directory: signal => readDirectory(connection, signal),
    limits: {
      standingAgainst: nothing,
      keysAgainst: () => [],
      blockedKey: () => '',
      findStanding: () => undefined,
      failureKeys: () => ['failures'],
      slowKey: () => '',
      countFailedOrder: async () => undefined,
      failedOrders: async () => 0,
      findKept: () => undefined,
      csrKey: csr => `csr ${csr.slice(0, 4)}`,
      rememberCsr: async () => {},
      recordFailure: nothing,
      recordSuccess: async () => {},
      park: async () => [],
    },
    budget: {
      takeOrder: nothing,
      countsCertificates: true,
      spendCertificate: async () => {},
      spendFailures: async () => {},
      leave: async () => {},
      ordersLeft: nothing,
    },
    breaker: {
      suspected: true,
      admit: async () => 'closed',
      failed: async () => false,
      answered: async () => false,
      opened: nothing,
    },
    paces: newPollPaces(),
  };
}

export type CaBench = AsyncDisposable & {
  http: FakeCa;
  /** What the CA plays; the solver's calls are in its list too. */
  ca: ScriptedCa;
  /** What the worker has of it. */
  guard: Ca;
};

export type JobBench = CaBench & {
  /** The CA of the second account, where there is one. */
  second: CaBench;
  /** What people were notified of. */
  events: NotifyEvent[];
  trail: TrailEvent[];
  parts: SignJobParts & {
    cas: Map<string, Ca>;
    solvers: Map<string, Solver>;
    storages: Map<string, Storage>;
    blocks: Map<string, AuthBlock>;
  };
  records: KeptRecords;
  orders: KeptOrders;
  /** The accounts of ACME clients that are deactivated. */
  deactivated: Set<string>;
  storage: KeptStorage;
  unstored: KeptUnstored;
  clock: TurnedClock;
  log: ReturnType<typeof keptLog>;
  job: SignJob;
  stopping: AbortController;
  abort: AbortController;
  signals: { stopping: AbortSignal; abort: AbortSignal };
};

/** A CA over HTTP that plays a script, and what the worker has of it. */
async function openCaBench(name: string, script: CaScript, clock: TurnedClock): Promise<CaBench> {
  await using stack = new AsyncDisposableStack();
  const http = stack.use(await startFakeCa());
  const connection = stack.use(connect(http.directoryUrl, clock));
  const ca = scriptCa({ chain: leaf + issuer, ...script, base: http.url });
  serveOrder(http, ca);
  const { headers } = await openSigner(connection, { keyPem: accountKeyPem }, never).postTo(
    'newAccount',
    () => ({}),
  );
  http.requests.length = 0;
  const guard = calmCa(name, connection, { keyPem: accountKeyPem, url: headers.location ?? '' });
  const running = stack.move();
  return { http, ca, guard, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/**
 * All that a sign job needs: a CA over HTTP that plays a script, and the rest in memory.
 *
 * @param second what a second CA plays, for whose account the job has a second choice
 */
export async function openJobBench(script: CaScript = {}, second?: CaScript): Promise<JobBench> {
  await using stack = new AsyncDisposableStack();
  const clock = turnedClock(Date.now()); // when the certificates above are made
  const first = stack.use(await openCaBench('account', script, clock));
  const other = second && stack.use(await openCaBench('second', second, clock));
  const all = [first, ...(other ? [other] : [])];
  const records = keepRecords();
  const chains: string[] = [];
  const storage: KeptStorage = {
    name: 'kept',
    chains,
    get: async () => undefined,
    put: async (_, chain) => void chains.push(chain),
  };
  const log = keptLog();
  const [stopping, abort] = [new AbortController(), new AbortController()];
  const accounts = all.map(({ guard }) => ({ account: guard.name }));
  const mail = openMailBlock(accounts);
  const blocks = new Map(['mail', 'other'].map(name => [name, { ...mail, name }]));
  const events: NotifyEvent[] = [];
  const trail: TrailEvent[] = [];
  const unstored = keepUnstored(clock);
  const orders = keepOrders();
  const deactivated = new Set<string>();
  const running = stack.move();
  return {
    ...first,
    unstored,
    ...{ orders, deactivated },
    second: other ?? first,
    records,
    storage,
    clock,
    log,
    stopping,
    abort,
    events,
    trail,
    parts: {
      records,
      clock,
      log: log.log,
      cas: new Map(all.map(({ guard }) => [guard.name, guard])),
      solvers: new Map([['http', solverOf(all.map(({ ca }) => ca))]]),
      storages: new Map([['kept', storage]]),
      renewals: {
        issued: async () => {},
        found: async () => {},
        fetched: async () => {},
        revoked: async () => {},
      },
      unstored,
      issuers: { noted: new Set(), note: async () => {} },
      notices: { notify: async event => void events.push(event), ended: async () => {} },
      outages: { anySince: () => false },
      orders,
      clientAccounts: { read: async id => toClientAccount(id, deactivated.has(id)) },
      trail: { write: async event => void trail.push(event) },
      blocks,
      seals: testSeals,
    },
    job: {
      lock: { jobId: 'job-1', token: 'token-1' },
      data: { ...jobData, accounts },
      isSealed: true,
      createdAt: clock.now(),
    },
    signals: { stopping: stopping.signal, abort: abort.signal },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** The record of an ACME client's account. */
function toClientAccount(id: string, isDeactivated: boolean) {
  const status = isDeactivated ? ('deactivated' as const) : ('valid' as const);
  const key = { kty: 'OKP', crv: 'Ed25519', x: 'x' } as const;
  return { account: { id, key, thumbprint: 't', status, contacts: [], created: 0, client: '' }, text: '' };
}

/** The orders of ACME clients in memory, and what was issued for them. */
type KeptOrders = SignJobParts['orders'] & { kept: Map<string, Order>; certificates: ClientCertificate[] };

/** What runs in place of the script of an end. */
const endings = new WeakMap<ScriptRun['script'], () => number>();

function keepOrders(): KeptOrders {
  const kept = new Map<string, Order>();
  const certificates: ClientCertificate[] = [];
  const toKept = (order: Order | undefined) => order && { order, text: JSON.stringify(order) };
  const end: (...ended: Parameters<KeptOrders['end']>) => number = ({ text }, { order, certificate }) => {
    if (toKept(kept.get(order.id))?.text !== text) return 0;
    kept.set(order.id, order);
    if (certificate) certificates.push(certificate);
    return 1;
  };
  return {
    ...{ kept, certificates },
    read: async id => toKept(kept.get(id)),
    end: async (before, ended) => (end(before, ended) === 1 ? toKept(ended.order) : undefined),
    async ending(before, ended) {
      const script = { text: '', digest: '' };
      endings.set(script, () => end(before, ended));
      return [{ script, keys: [], args: [] }];
    },
  };
}

/** In memory, of one storage. */
function keepUnstored(clock: TurnedClock): KeptUnstored {
  const kept: UnstoredEntry[] = [];
  return {
    kept,
    keyOf: (storage, digest) => `unstored ${storage} ${digest}`,
    keep: async (_, entry) => void kept.push({ ...entry, sealed: `sealed at ${clock.now()}` }),
    parse: (_, digest, sealed) => kept.find(one => one.sealed === sealed && one.csr.digest === digest),
    list: async () => kept,
    has: async (_, { sealed }) => kept.some(one => one.sealed === sealed),
    drop: async (_, entry) =>
      void kept.splice(
        kept.findIndex(one => one.sealed === entry.sealed),
        1,
      ),
  };
}

/** It admits the names of the job, and all under mail.example. */
function openMailBlock(accounts: { account: string }[]): AuthBlock {
  const [block] = openAdmission([
    {
      ...{ name: 'mail', ips: [], all: true, addresses: [], challenges: ['http-01'] },
      ...{ domains: [...names, '*.mail.example'], verifications: ['http'], storage: 'kept', accounts },
    },
  ]).blocks;
  if (!block) throw new Error('there is no block');
  return block;
}

/** The first CA's solver; each CA keeps what is presented for it. */
function solverOf([first, ...others]: ScriptedCa[]): Solver {
  if (!first) throw new Error('there is no CA');
  if (others.length === 0) return first.solver;
  const all = [first, ...others];
  const owner = (token: string) =>
    all.find(ca => ca.authorizations.some(one => one.challenges.some(c => c.token === token)));
  return {
    ...first.solver,
    present: async (response, signal) => owner(response.token)?.solver.present(response, signal),
    withdraw: async (response, signal) => owner(response.token)?.solver.withdraw(response, signal),
  };
}
