import assert from 'node:assert/strict';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { type AcmeParts, createAcmeRoutes } from '../../../services/intake/acme/routes.ts';
import { createApp, createRoutes } from '../../../services/intake/app.ts';
import { openRefusals } from '../../../services/intake/refusals.ts';
import type { AcmeConfig } from '../../../shared/acme-server/acme-section.ts';
import { type Admission, openAdmission } from '../../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import type { TakeOnce } from '../../../shared/admission/hmac2.ts';
import type { JudgeToken } from '../../../shared/admission/token-method.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { toAddressSet } from '../../../shared/base/identifier.ts';
import { openMetrics, type Registry } from '../../../shared/base/metrics.ts';
import type { Redis, Store } from '../../../shared/base/redis.ts';
import { openIssuing } from '../../../shared/issue/request-certificate.ts';
import type { StandingLimitError } from '../../../shared/limits/limits.ts';
import type { BlockedKey } from '../../../shared/limits/standing-limit.ts';
import type { AcmeQueue } from '../../../shared/queue/acme-queue.ts';
import type { RevokeJobData, RevokeQueue, RevokeResult } from '../../../shared/queue/revoke-queue.ts';
import type { SignResult } from '../../../shared/queue/sign-records.ts';
import type { Storage } from '../../../shared/storage/storage.ts';
import type { TrailEvent } from '../../../shared/trail/event.ts';
import { makeCertificate } from '../../shared/pki/openssl-csr.ts';
import { type FakeQueue, jobId, openFakeQueue } from '../../shared/queue/fake-sign-queue.ts';
import { keptLog } from '../../support/kept-log.ts';
import { listen } from '../../support/listen.ts';
import { testSeals, testSecret } from '../../support/test-seals.ts';
import { type TurnedClock, turnedClock } from '../../support/turned-clock.ts';

export { jobId };

export const chain = makeCertificate({ names: 'DNS:www.example.org' });
export const issued: SignResult = { outcome: 'issued', block: 'hmac', chain };
export const hmacKey = 'a secret';

/** A block with an HMAC for everything under example.org; its storage is `kept`. */
export const hmacBlock: AuthBlockConfig = {
  ...{ name: 'hmac', ips: [], hmac: { type: 'sha256', keys: [hmacKey] }, all: false },
  ...{
    domains: ['*.example.org'],
    addresses: [],
    verifications: ['http'],
    challenges: ['http-01'],
    storage: 'kept',
  },
  accounts: [{ account: 'account' }],
};

/** The account that every block here orders from. */
export const ownAccount = { account: 'account', directory: 'https://ca.example.org/directory' };

/** As a storage says it that cannot be read; the storage `broken` never can. */
export const unreadable = () => new IssuanceError('unavailable', 'what is stored cannot be read');

/** A block for clients of this machine. */
const { hmac: _, ...withoutHmac } = hmacBlock;
export const loopbackBlock: AuthBlockConfig = { ...withoutHmac, name: 'loopback', ips: ['127.0.0.1'] };

export const hmacHeader = (message: string) => ({
  Authentication: `hmac name=sha256, hash=${createHmac('sha256', hmacKey).update(message).digest('hex')}`,
});

/** Headers of HMAC version 2, each with a nonce of its own. */
export function hmac2Header(method: string, target: string, body = ''): { Authentication: string } {
  const [time, nonce] = [String(Math.trunc(Date.now() / 1000)), randomBytes(16).toString('hex')];
  const lines = ['hmac2', method, target, time, nonce, createHash('sha256').update(body).digest('hex')];
  const hash = createHmac('sha256', hmacKey)
    .update(`${lines.join('\n')}\n`)
    .digest('hex');
  return { Authentication: `hmac2 name=sha256, time=${time}, nonce=${nonce}, hash=${hash}` };
}

/** Takes each nonce once, in memory and at any time. */
function openFakeTakeOnce(): TakeOnce {
  const seen = new Set<string>();
  return async (key, { nonce }) => {
    const name = `${key} ${nonce}`;
    return seen.size === seen.add(name).size ? 'it came before' : undefined;
  };
}

/** A queue of revocations in memory. */
export type FakeRevokeQueue = RevokeQueue & {
  enqueued: RevokeJobData[];
  /** What every job ends with; none: it does not end. */
  end: RevokeResult | undefined;
  fault: Error | undefined;
};

function openFakeRevokeQueue(): FakeRevokeQueue {
  const queue: FakeRevokeQueue = {
    ...{ enqueued: [], end: { outcome: 'revoked', already: false, account: 'account' }, fault: undefined },
    async enqueue(data) {
      if (queue.fault) throw queue.fault;
      queue.enqueued.push(data);
      return jobId;
    },
    async result(_, signal) {
      if (!queue.end && !signal.aborted)
        await new Promise(resolve => signal.addEventListener('abort', resolve));
      return queue.end;
    },
    async [Symbol.asyncDispose]() {},
  };
  return queue;
}

/** What an ACME server is that says nothing of itself. */
export const usualAcme: AcmeConfig = {
  ...{ caaIdentities: [], profiles: {} },
  proof: { resolvers: [], httpPort: 80, tlsPort: 443, tries: 6 },
};

/** For routes that have nothing proven. */
const acmeQueue: AcmeQueue = {
  enqueue: () => assert.fail('a job is enqueued'),
  result: () => assert.fail('a job is waited for'),
  async [Symbol.asyncDispose]() {},
};

/** For routes that ask Redis for nothing. */
const noStore: Store = {
  redis: new Proxy({} as Redis, { get: () => assert.fail('Redis is asked') }),
  prefix: '{none}',
};

const noToken: JudgeToken = async () => ({ refused: 'the token is not known' });

export type FakeIntake = AsyncDisposable & {
  url: string;
  port: number;
  queue: FakeQueue;
  revokeQueue: FakeRevokeQueue;
  /** What the storage `kept` holds for any CSR. */
  stored: { value: Awaited<ReturnType<Storage['get']>> | Error };
  /** What stands against any order. */
  limit: { value: StandingLimitError | undefined };
  /** The auth blocks by which stored certificates were fetched. */
  fetches: string[];
  blockedKeys: Map<string, BlockedKey>;
  stopping: AbortController;
  clock: TurnedClock;
  metrics: Registry;
  log: ReturnType<typeof keptLog>;
  /** What the trail was told, and why it cannot be. */
  trail: { events: TrailEvent[]; fault: Error | undefined };
  post(body: string, headers?: Record<string, string>, path?: string): Promise<Response>;
};

/** The intake's app on a loopback port, with a queue and a storage that do what a test says. */
export async function openIntake(
  blocks: AuthBlockConfig[] = [hmacBlock],
  {
    wait = 0,
    maxSize = 4096,
    trusted = [] as string[],
    takeOnce = openFakeTakeOnce(),
    judgeToken = noToken,
    clock = turnedClock(1_000_000),
    stalled = undefined as number | undefined,
    toRated = (admission: Admission) => admission,
    /** Where there is an ACME server: its URL, and its parts that are not as here. */
    acme = undefined as (Partial<AcmeParts> & { url: string }) | undefined,
  } = {},
): Promise<FakeIntake> {
  const revokeQueue = openFakeRevokeQueue();
  const [queue, stopping] = [openFakeQueue(), new AbortController()];
  const [log, metrics] = [keptLog(), openMetrics()];
  const stored: FakeIntake['stored'] = { value: undefined };
  const limit: FakeIntake['limit'] = { value: undefined };
  const fetches: string[] = [];
  const blockedKeys = new Map<string, BlockedKey>();
  const told: FakeIntake['trail'] = { events: [], fault: undefined };
  const write = async (event: TrailEvent) => {
    if (told.fault) throw told.fault;
    told.events.push(event);
  };
  const refusals = openRefusals({ write }, clock, log.log);
  const get = async () => {
    if (stored.value instanceof Error) throw stored.value;
    return stored.value;
  };
  const admission = openAdmission(blocks, { takeOnce, judgeToken });
  const issuing = openIssuing({
    admission,
    storages: new Map([
      ['kept', { name: 'kept', get, put: async () => {} }],
      ['broken', { name: 'broken', get: () => Promise.reject(unreadable()), put: async () => {} }],
    ]),
    limits: new Map([['account', { standingAgainst: async () => limit.value, keysAgainst: () => [] }]]),
    accounts: [ownAccount],
    signQueue: queue,
    renewals: { fetched: async (_storage, _csr, block) => void fetches.push(block) },
    blockedKeys,
    trail: { write },
    clock,
    log: log.log,
  });
  const parts = {
    clients: { isTrustedProxy: toAddressSet(trusted) },
    issuing,
    revokeQueue,
    waiting: { clock, wait, stopping: stopping.signal, ...(stalled !== undefined && { stalled }) },
    trail: { write },
  };
  const acmeParts = {
    ...{ ...parts, acme: usualAcme, acmeQueue, auth: blocks, admission },
    ...{ ratedAdmission: toRated(admission), store: noStore, seals: testSeals, clock, log: log.log },
    ...{ secret: Buffer.from(testSecret), refusals },
  };
  const routes = createRoutes({
    ...{ ...parts, admission: toRated(admission), maxSize },
    acmeUrl: acme?.url,
    acme: acme && createAcmeRoutes({ ...acmeParts, ...acme }),
  });
  const app = createApp({ routes: { current: routes }, refusals, clock, log: log.log, metrics });
  const server = await listen(app.callback());
  const post = (body: string, headers: Record<string, string> = hmacHeader(body), path = '/sign') =>
    fetch(server.url + path, { method: 'POST', body, headers });
  return {
    ...{ url: server.url, port: server.port, queue, revokeQueue, stored, fetches, blockedKeys },
    ...{ limit, stopping, clock, metrics, log, post, trail: told },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await refusals[Symbol.asyncDispose]();
    },
  };
}
