import assert from 'node:assert/strict';
import Koa from 'koa';
import { type AcmeParts, createAcmeRoutes } from '../../services/intake/acme/routes.ts';
import { recordsWithOrder } from '../../services/worker/client-order.ts';
import type { ProofConfig } from '../../shared/acme-server/acme-section.ts';
import { openCertificates } from '../../shared/acme-server/certificates.ts';
import { openOrders } from '../../shared/acme-server/orders.ts';
import { openUrls } from '../../shared/acme-server/urls.ts';
import { openAdmission } from '../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import { toSealed } from '../../shared/admission/hmac.ts';
import { withRates } from '../../shared/admission/rates.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { openIssuing } from '../../shared/issue/request-certificate.ts';
import type { StandingLimitError } from '../../shared/limits/limits.ts';
import type { BlockedKey } from '../../shared/limits/standing-limit.ts';
import { openAcmeQueue } from '../../shared/queue/acme-queue.ts';
import { withQueueMax } from '../../shared/queue/queue-max.ts';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import type { SignJobData, SignResult } from '../../shared/queue/sign-records.ts';
import type { TrailEvent } from '../../shared/trail/event.ts';
import { usualAcme } from '../services/intake/open-intake.ts';
import { makeIssued } from '../shared/pki/openssl-csr.ts';
import { type ClientKey, makeClientKey, signJws } from '../support/acme-jws.ts';
import { listen } from '../support/listen.ts';
import { quietLog } from '../support/quiet-log.ts';
import { testSeals } from '../support/test-seals.ts';
import type { OwnRedis } from './own-redis.ts';
import { openReadyIntakeSide, openWorkerSide } from './sign-parts.ts';

// ACME servers of one store, and a worker that has what a test says for each job.

export const block = (name: string, more: Partial<AuthBlockConfig> = {}): AuthBlockConfig => ({
  ...{ name, ips: ['127.0.0.1'], all: false, domains: ['*.example.org'], addresses: ['192.0.2.0/24'] },
  ...{ verifications: ['http', 'dns'], challenges: ['http-01', 'dns-01'], storage: 'kept' },
  accounts: [{ account: 'account' }],
  ...more,
});

const BASE = 'https://quarry.example.org/acme';
const urls = openUrls(BASE);

/** Issued for the names of a job, as a CA does. */
export function issuedFor({ identifiers, block: name }: SignJobData): SignResult {
  const names = identifiers.map(({ type, value }) => `${type === 'ip' ? 'IP' : 'DNS'}:${value}`).join(',');
  const { leaf, issuer } = makeIssued({ names });
  return { outcome: 'issued', block: name, chain: leaf + issuer };
}

export type IntakeOptions = {
  blocks?: AuthBlockConfig[];
  /** Seconds that clients are held. */
  wait?: number;
  /** What stands against every order. */
  limit?: StandingLimitError;
  profiles?: Record<string, string>;
  proof?: ProofConfig;
  blockedKeys?: ReadonlyMap<string, BlockedKey>;
  wrapQueue?: (queue: SignQueue) => SignQueue;
};

/** One process's ACME server. */
async function openIntake({ url, connect }: OwnRedis, prefix: string, options: IntakeOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const { queue, redis } = stack.use(await openReadyIntakeSide(url, prefix));
  const store = { redis: connect(), prefix };
  const { blocks = [block('web')], wait = 60, limit, profiles = {}, blockedKeys = new Map() } = options;
  const { proof = usualAcme.proof } = options;
  const { wrapQueue = (one: SignQueue) => one } = options;
  const admission = openAdmission(blocks);
  const trail: TrailEvent[] = [];
  const write = async (event: TrailEvent) => void trail.push(event);
  const most = new Map(
    blocks.flatMap(({ name, bounds }) => (bounds?.queueMax ? [[name, bounds.queueMax] as const] : [])),
  );
  const clock = systemClock;
  const standing = `${prefix}:limit:name/a.example.org@ca`;
  if (limit) await store.redis.set(standing, '{}');
  const issuing = openIssuing({
    ...{ admission, accounts: [], storages: new Map(), blockedKeys, clock, log: quietLog },
    limits: new Map([['account', { standingAgainst: async () => limit, keysAgainst: () => [standing] }]]),
    renewals: { fetched: async () => {} },
    signQueue: withQueueMax(wrapQueue(queue), store, most, clock),
    trail: { write },
  });
  const stopping = new AbortController();
  const refused: unknown[] = [];
  const used = {
    ...{ url: BASE, auth: blocks, store, seals: testSeals, admission, issuing, clock, log: quietLog },
    acme: { ...usualAcme, url: BASE, profiles, proof },
    acmeQueue: stack.use(openAcmeQueue({ store, seals: testSeals, clock, log: quietLog })),
    ratedAdmission: withRates(admission, store, { clock, log: quietLog }),
    clients: { isTrustedProxy: () => false },
    waiting: { clock, wait, stopping: stopping.signal },
    trail: { write },
    refusals: { note: async (refusal: unknown) => void refused.push(refusal) },
  };
  const unused = {} as Omit<AcmeParts, keyof typeof used>; // by the routes of orders
  const routes = createAcmeRoutes({ ...unused, ...used });
  const app = new Koa();
  app.use((ctx, next) => {
    ctx.state.requestId = 'request-1';
    return next();
  });
  app.use(routes);
  const server = stack.use(await listen(app.callback()));
  const running = stack.move();
  return {
    ...{ trail, refused, stopping, origin: server.url, redis },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

export type Intake = Awaited<ReturnType<typeof openIntake>>;

/** What a test reads of an order, an authorization, a challenge or a problem; each has only some of it. */
type Json = {
  status: string;
  type: string;
  detail: string;
  profile?: string;
  replaces?: string;
  wildcard?: boolean;
  identifier: { type: string; value: string };
  identifiers: { type: string; value: string }[];
  authorizations: string[];
  finalize: string;
  certificate: string;
  challenges: { type: string; url: string; token: string; status: string; error?: object }[];
  subproblems?: { type: string; identifier: { value: string } }[];
  error: { type: string; detail: string };
};

export type Answer = { status: number; headers: Headers; text: string; json: Json };

/** All that a test of orders needs, on one store of its own. */
export async function openGround(own: OwnRedis, first: IntakeOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const store = own.newStore();
  const { redis, prefix } = store;
  const orders = openOrders(store, testSeals, systemClock);
  const certificates = openCertificates(store, testSeals);
  const opened = stack.use(new AsyncDisposableStack());
  const more = async (options: IntakeOptions = {}) => opened.use(await openIntake(own, prefix, options));
  const intake = await more(first);

  async function openAccount(id: string, key: ClientKey = makeClientKey()) {
    const { jwk, thumbprint } = key;
    const record = {
      ...{ id, key: jwk, thumbprint, status: 'valid', contacts: [], created: 0, client: '127.0.0.1' },
    };
    const sealed = toSealed(testSeals, `acme account ${id}`, JSON.stringify(record));
    await redis.set(`${prefix}:acme:account:${id}`, sealed);

    /** `path`: what stands behind the base, or a whole URL. */
    async function post(path: string, payload?: unknown, at: Intake = intake): Promise<Answer> {
      const url = path.startsWith(BASE) ? path : BASE + path;
      const nonce = await fetch(`${at.origin}/acme/new-nonce`);
      const header = { alg: key.alg, kid: urls.account(id), nonce: nonce.headers.get('replay-nonce'), url };
      const jws = signJws(header, payload === undefined ? '' : JSON.stringify(payload), key);
      const answer = await fetch(at.origin + new URL(url).pathname, {
        method: 'POST',
        headers: { 'Content-Type': 'application/jose+json' },
        body: JSON.stringify(jws),
      });
      const text = await answer.text();
      const isJson = /json/.test(answer.headers.get('content-type') ?? '');
      return { status: answer.status, headers: answer.headers, text, json: isJson ? JSON.parse(text) : {} };
    }

    /** An order of these names, and its id. */
    async function newOrder(names: string[], rest: Record<string, unknown> = {}, at?: Intake) {
      const identifiers = names.map(value => ({ type: /^[\d.]+$/.test(value) ? 'ip' : 'dns', value }));
      const answer = await post('/new-order', { identifiers, ...rest }, at);
      assert.equal(answer.status, 201, answer.text);
      const orderUrl = answer.headers.get('location') ?? '';
      return { ...answer, orderUrl, orderId: orderUrl.split('/').at(-1) ?? '' };
    }
    return { key, post, newOrder };
  }

  /** Takes jobs; as a worker does, it ends their orders with the result. */
  function openWorker(work: (data: SignJobData) => Promise<SignResult> | SignResult = issuedFor) {
    const worker = openWorkerSide(own.url, prefix, work, ({ order }, records) =>
      order === undefined ? records : recordsWithOrder({ parts: { orders, records } }, order, undefined),
    );
    return opened.use(worker);
  }

  const running = stack.move();
  return {
    ...{ intake, orders, certificates, redis, prefix, openAccount, openWorker, openIntake: more },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
