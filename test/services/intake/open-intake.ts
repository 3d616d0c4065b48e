import { createHmac } from 'node:crypto';
import { createApp } from '../../../services/intake/app.ts';
import { openAdmission } from '../../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import { toAddressSet } from '../../../shared/admission/methods.ts';
import { openMetrics, type Registry } from '../../../shared/base/metrics.ts';
import type { RevokeJobData, RevokeQueue, RevokeResult } from '../../../shared/queue/revoke-queue.ts';
import type { SignJobData, SignResult } from '../../../shared/queue/sign-job-data.ts';
import type { SignQueue } from '../../../shared/queue/sign-queue.ts';
import type { Storage } from '../../../shared/storage/storage.ts';
import { keptLog } from '../../support/kept-log.ts';
import { listen } from '../../support/listen.ts';
import { type TurnedClock, turnedClock } from '../../support/turned-clock.ts';

export const jobId = '0f8fad5b-d9cb-469f-a165-70867728950e';
export const chain = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
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
};

/** A block for clients of this machine. */
const { hmac: _, ...withoutHmac } = hmacBlock;
export const loopbackBlock: AuthBlockConfig = { ...withoutHmac, name: 'loopback', ips: ['127.0.0.1'] };

export const hmacHeader = (message: string) => ({
  Authentication: `hmac name=sha256, hash=${createHmac('sha256', hmacKey).update(message).digest('hex')}`,
});

/** A queue in memory: `enqueued` and `promised` are what it was given, `results` what its jobs end with. */
export type FakeQueue = SignQueue & {
  enqueued: SignJobData[];
  promised: string[];
  results: Map<string, SignResult>;
  blocks: Map<string, string>;
  /** Set to have every call fail. */
  fault: Error | undefined;
  /** How many wait for a result now. */
  waiting: number;
};

function openFakeQueue(): FakeQueue {
  const working = () => {
    if (queue.fault) throw queue.fault;
  };
  const queue: FakeQueue = {
    ...{ enqueued: [], promised: [], results: new Map(), blocks: new Map(), fault: undefined, waiting: 0 },
    async enqueue(data) {
      working();
      queue.enqueued.push(data);
      return jobId;
    },
    async result(id, signal) {
      working();
      const result = queue.results.get(id);
      if (result || signal.aborted) return result;
      queue.waiting++;
      await new Promise(resolve => signal.addEventListener('abort', resolve));
      queue.waiting--;
      return undefined;
    },
    async blockOf(id) {
      working();
      return queue.blocks.get(id);
    },
    async promise(id) {
      working();
      queue.promised.push(id);
    },
    async [Symbol.asyncDispose]() {},
  };
  return queue;
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
    ...{ enqueued: [], end: { outcome: 'revoked', already: false }, fault: undefined },
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

export type FakeIntake = AsyncDisposable & {
  url: string;
  port: number;
  queue: FakeQueue;
  revokeQueue: FakeRevokeQueue;
  /** What the storage `kept` holds for any CSR. */
  stored: { value: Awaited<ReturnType<Storage['get']>> | Error };
  /** What stands against any order. */
  limit: { value: Error | undefined };
  /** The auth blocks by which stored certificates were fetched. */
  fetches: string[];
  stopping: AbortController;
  clock: TurnedClock;
  metrics: Registry;
  log: ReturnType<typeof keptLog>;
  post(body: string, headers?: Record<string, string>, path?: string): Promise<Response>;
};

/** The intake's app on a loopback port, with a queue and a storage that do what a test says. */
export async function openIntake(
  blocks: AuthBlockConfig[] = [hmacBlock],
  { wait = 0, maxSize = 4096, trusted = [] as string[] } = {},
): Promise<FakeIntake> {
  const revokeQueue = openFakeRevokeQueue();
  const [queue, stopping, clock] = [openFakeQueue(), new AbortController(), turnedClock(1_000_000)];
  const [log, metrics] = [keptLog(), openMetrics()];
  const stored: FakeIntake['stored'] = { value: undefined };
  const limit: FakeIntake['limit'] = { value: undefined };
  const fetches: string[] = [];
  const get = async () => {
    if (stored.value instanceof Error) throw stored.value;
    return stored.value;
  };
  const app = createApp({
    admission: openAdmission(blocks),
    storages: new Map([['kept', { name: 'kept', get, put: async () => {} }]]),
    limits: { standingAgainst: async () => limit.value } as never,
    noteFetch: ({ name }) => void fetches.push(name),
    revokeQueue,
    ...{ signQueue: queue, account: 'account', maxSize, wait, isTrustedProxy: toAddressSet(trusted) },
    ...{ stopping: stopping.signal, clock, log: log.log, metrics },
  });
  const server = await listen(app.callback());
  const post = (body: string, headers: Record<string, string> = hmacHeader(body), path = '/sign') =>
    fetch(server.url + path, { method: 'POST', body, headers });
  return {
    ...{ url: server.url, port: server.port, queue, revokeQueue, stored, fetches },
    ...{ limit, stopping, clock, metrics, log, post },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
