import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { consumeAcmeJobs } from '../../services/worker/consume-acme-jobs.ts';
import { openCertificates } from '../../shared/acme-server/certificates.ts';
import { openKnownWindows } from '../../shared/acme-server/known-windows.ts';
import { openOrders } from '../../shared/acme-server/orders.ts';
import type { ClientProof, ProofType } from '../../shared/admission/client-proof.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { openMetrics } from '../../shared/base/metrics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { ACME_QUEUE, openAcmeQueue } from '../../shared/queue/acme-queue.ts';
import { openQueue } from '../../shared/queue/bullmq.ts';
import { openTrail } from '../../shared/trail/trail.ts';
import { makeCsr } from '../shared/pki/openssl-csr.ts';
import { toCsrField } from '../support/acme-client.ts';
import { keptLog } from '../support/kept-log.ts';
import { startProofWorld } from '../support/proof-world.ts';
import { quietLog } from '../support/quiet-log.ts';
import { testSeals } from '../support/test-seals.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Answer, block, openGround } from './acme-intake.ts';
import { startOwnRedis } from './own-redis.ts';

const own = await startOwnRedis();
const world = await startProofWorld();
after(() => world[Symbol.asyncDispose]());

const loopback = ['127.0.0.0/8'];
const csrFor = (names: string) => ({ csr: toCsrField(makeCsr({ names })) });
const kindOf = (problem: { type?: string } | undefined) =>
  String(problem?.type).replace('urn:ietf:params:acme:error:', '');

const proving = (types: ProofType[], networks = loopback): ReturnType<typeof block> =>
  block('web', { clientProof: { types, networks } });

/** An intake with one block, whose clients have to prove their names, and a worker that looks for that. */
async function open(
  types: ProofType[],
  { networks = loopback, tries = 1, hasWorker = true, blocks = [proving(types, networks)] } = {},
) {
  await using stack = new AsyncDisposableStack();
  const proof = { ...world.proof, tries };
  const ground = stack.use(await openGround(own, { blocks, proof }));
  stack.use(ground.openWorker());
  const { redis, prefix } = ground;
  const store = { redis, prefix };
  const kept = keptLog();
  const parts = { seals: testSeals, clock: systemClock, log: kept.log };
  const acmeJobs = {
    ...{ orders: openOrders(store, testSeals, systemClock), trail: openTrail(store), proof },
    blocks: new Map(blocks.map(one => [one.name, one as { clientProof?: ClientProof }])),
    ...{ cas: new Map(), certificates: openCertificates(store, testSeals), clock: systemClock },
    ...{ windows: openKnownWindows(store, testSeals), notices: { notify: async () => {} }, log: kept.log },
  };
  const queueParts = { redisAddress: { url: own.url }, prefix, metrics: openMetrics(), ...parts };
  const workers = stack.use(new AsyncDisposableStack());
  const startWorker = () => void workers.use(consumeAcmeJobs({ current: { acmeJobs } }, queueParts));
  if (hasWorker) startWorker();
  const client = await ground.openAccount('account-1');

  /** The order once it is not pending any more. */
  async function settled(orderUrl: string): Promise<Answer['json']> {
    let order: Answer['json'] | undefined;
    await waitUntil('the order to be ready or over', async () => {
      order = (await client.post(orderUrl)).json;
      return order.status !== 'pending';
    });
    assert.ok(order);
    return order;
  }
  /** The challenge of that type of an authorization. */
  async function challengeOf(url: string | undefined, type: string) {
    const { json } = await client.post(url ?? '');
    const found = json.challenges.find(one => one.type === type);
    assert.ok(found, `a challenge of type ${type}`);
    return { ...found, name: json.identifier.value };
  }
  const running = stack.move();
  return {
    ...{ ...ground, ...client, store, settled, challengeOf, startWorker, lines: kept.lines },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

suite('an ACME client whose auth block wants its names proven', () => {
  for (const type of ['http-01', 'dns-01', 'tls-alpn-01'] as const)
    test(`gets its certificate once it has proven them by ${type}`, async () => {
      await using ground = await open([type]);
      const { post, newOrder, key, settled, challengeOf } = ground;
      const names = ['a.example.org', 'b.example.org'];
      for (const name of names) world.addresses.set(name, ['127.0.0.1']);
      const { json, orderUrl } = await newOrder(names);
      assert.equal(json.status, 'pending');
      const early = await post(json.finalize, csrFor('DNS:a.example.org,DNS:b.example.org'));
      assert.deepEqual([early.status, kindOf(early.json)], [403, 'orderNotReady']);
      for (const url of json.authorizations) {
        const authorization = await post(url);
        assert.deepEqual([authorization.json.status, authorization.json.challenges.length], ['pending', 1]);
        const { url: challengeUrl, name, token, status } = await challengeOf(url, type);
        assert.equal(status, 'pending');
        world.show(type, name, token, key.thumbprint);
        const told = await post(challengeUrl, {});
        assert.equal(told.status, 200);
        assert.match(told.headers.get('link') ?? '', new RegExp(`<${url}>;rel="up"`));
      }
      assert.equal((await settled(orderUrl)).status, 'ready');
      const { json: proven } = await post(json.authorizations[0] ?? '');
      assert.deepEqual([proven.status, proven.challenges[0]?.status], ['valid', 'valid']);
      const again = await post(proven.challenges[0]?.url ?? '', {});
      assert.deepEqual([again.status, again.json.status], [200, 'valid'], 'to say it again changes nothing');
      const done = await post(json.finalize, csrFor('DNS:a.example.org,DNS:b.example.org'));
      assert.equal(done.json.status, 'valid', done.text);
    });

  test('is told of each attempt, and by the last one what was there, and has to order anew', async () => {
    await using ground = await open(['http-01'], { tries: 2 });
    const { post, newOrder, settled, challengeOf } = ground;
    world.addresses.set('wrong.example.org', ['127.0.0.1']);
    const { json, orderUrl } = await newOrder(['wrong.example.org', 'a.example.org']);
    const [url = ''] = json.authorizations;
    const { url: challengeUrl, token } = await challengeOf(url, 'http-01');
    world.files.set(`/.well-known/acme-challenge/${token}`, `${token}.of another account`);
    const told = await post(challengeUrl, {});
    assert.equal(told.json.status, 'processing');
    assert.match(told.headers.get('retry-after') ?? '', /^\d+$/);
    let attempt = told;
    await waitUntil('the first attempt', async () => {
      attempt = await post(url);
      return attempt.json.challenges.some(({ error }) => error);
    });
    assert.deepEqual([attempt.json.status, attempt.json.challenges[0]?.status], ['pending', 'processing']);
    assert.match(attempt.headers.get('retry-after') ?? '', /^\d+$/);
    const order = await settled(orderUrl);
    assert.deepEqual([order.status, kindOf(order.error)], ['invalid', 'incorrectResponse']);
    assert.match(
      order.error.detail,
      /^http:\/\/wrong\.example\.org\/.* another answer than the key authorization$/,
    );
    const { json: over } = await post(url);
    assert.deepEqual([over.status, over.challenges[0]?.status], ['invalid', 'invalid']);
    const late = await post(challengeUrl, {});
    assert.deepEqual([late.status, late.json.status], [200, 'invalid']);
    const refused = await post(json.finalize, csrFor('DNS:wrong.example.org'));
    assert.equal(kindOf(refused.json), 'orderNotReady');
  });

  test('may choose among several, and proves a wildcard by dns-01 alone', async () => {
    await using ground = await open(['http-01', 'dns-01']);
    const { post, newOrder, key, settled, challengeOf } = ground;
    const { json, orderUrl } = await newOrder(['*.w.example.org', 'w.example.org']);
    const offered = [];
    for (const url of json.authorizations)
      offered.push((await post(url)).json.challenges.map(({ type }) => type).join());
    assert.deepEqual(offered, ['dns-01', 'http-01,dns-01']);
    const [first, second] = json.authorizations;
    const wildcard = await challengeOf(first, 'dns-01');
    world.show('dns-01', 'w.example.org', wildcard.token, key.thumbprint);
    await post(wildcard.url, {});
    world.addresses.set('w.example.org', ['127.0.0.1']);
    const plain = await challengeOf(second, 'http-01');
    world.show('http-01', 'w.example.org', plain.token, key.thumbprint);
    await post(plain.url, {});
    assert.equal((await settled(orderUrl)).status, 'ready');
  });

  test('is refused names that its block has no proof for, with each of them named', async () => {
    await using ground = await open(['http-01']);
    const identifiers = ['*.w.example.org', 'w.example.org'].map(value => ({ type: 'dns', value }));
    const { status, json } = await ground.post('/new-order', { identifiers });
    assert.deepEqual([status, kindOf(json)], [403, 'rejectedIdentifier']);
    assert.deepEqual(
      json.subproblems?.map(({ identifier }) => identifier.value),
      ['*.w.example.org'],
    );
    assert.match(json.detail, /^\*\.w\.example\.org cannot be proven by http-01$/);
  });

  test('has nothing to do where its address is that of the names, and else reads where they lead', async () => {
    await using ground = await open(['address']);
    const { post, newOrder } = ground;
    world.addresses.set('near.example.org', ['127.0.0.1']);
    world.addresses.set('far.example.org', ['127.0.0.9']);
    const { json } = await newOrder(['near.example.org']);
    assert.equal(json.status, 'ready');
    const { json: authorization } = await post(json.authorizations[0] ?? '');
    assert.equal(authorization.status, 'valid');
    assert.ok(authorization.challenges.some(({ type, status }) => type === 'http-01' && status === 'valid'));
    const done = await post(json.finalize, csrFor('DNS:near.example.org'));
    assert.equal(done.json.status, 'valid', done.text);
    const identifiers = ['near.example.org', 'far.example.org'].map(value => ({ type: 'dns', value }));
    const refused = await post('/new-order', { identifiers });
    assert.deepEqual([refused.status, kindOf(refused.json)], [403, 'rejectedIdentifier']);
    assert.match(
      refused.json.detail,
      /^far\.example\.org leads to 127\.0\.0\.9, and your address is 127\.0\.0\.1$/,
    );
    assert.equal(refused.json.subproblems?.length, 1);
  });

  test('proves by a challenge what does not lead to it, where its block takes both', async () => {
    await using ground = await open(['address', 'dns-01']);
    world.addresses.set('near.example.org', ['127.0.0.1']);
    world.addresses.set('far.example.org', ['127.0.0.9']);
    const { json } = await ground.newOrder(['near.example.org', 'far.example.org', '*.far.example.org']);
    assert.equal(json.status, 'pending');
    const found = [];
    for (const url of json.authorizations) {
      const { status, challenges } = (await ground.post(url)).json;
      found.push([status, challenges.map(({ type }) => type).join()]);
    }
    const all = 'http-01,dns-01,tls-alpn-01';
    assert.deepEqual(found, [
      ['valid', all],
      ['pending', 'dns-01'],
      ['pending', 'dns-01'],
    ]);
  });

  test('is told to come again where no worker looks its names up', async () => {
    await using ground = await open(['address'], { hasWorker: false });
    const held = await ground.openIntake({ blocks: [proving(['address'])], wait: 0 });
    const identifiers = [{ type: 'dns', value: 'near.example.org' }];
    const { status, headers, json } = await ground.post('/new-order', { identifiers }, held);
    assert.deepEqual([status, kindOf(json)], [503, 'serverInternal']);
    assert.match(headers.get('retry-after') ?? '', /^\d+$/);
  });

  test('finalizes no order that is not proven as its block wants it by then', async () => {
    await using ground = await open(['address']);
    world.addresses.set('near.example.org', ['127.0.0.1']);
    const without = await ground.openIntake({ blocks: [block('web')] });
    const stricter = await ground.openIntake({ blocks: [proving(['http-01'])] });
    const [free, byAddress] = [
      await ground.newOrder(['a.example.org'], {}, without),
      await ground.newOrder(['near.example.org']),
    ];
    for (const [order, names] of [
      [free, 'DNS:a.example.org'],
      [byAddress, 'DNS:near.example.org'],
    ] as const) {
      const refused = await ground.post(order.json.finalize, csrFor(names), stricter);
      assert.deepEqual([refused.status, kindOf(refused.json)], [403, 'unauthorized'], refused.text);
      assert.match(refused.json.detail, /not proven as the configuration wants it by now/);
    }
    const done = await ground.post(byAddress.json.finalize, csrFor('DNS:near.example.org'));
    assert.equal(done.json.status, 'valid', done.text);
  });

  test('is not kept waiting by the names of another block that nobody answers for', async () => {
    const blocks = ['slow', 'web'].map(name => ({
      ...proving(['http-01']),
      name,
      domains: [`*.${name}.example.org`],
    }));
    await using ground = await open(['http-01'], { blocks });
    const { post, newOrder, key, settled, challengeOf } = ground;
    const names = Array.from({ length: 70 }, (_, at) => `n${at}.slow.example.org`);
    const slow = await newOrder(names);
    const asked = new Set<string>();
    let most = 0;
    for (const [at, url] of slow.json.authorizations.entries()) {
      const { url: challengeUrl, token } = await challengeOf(url, 'http-01');
      world.addresses.set(names[at] ?? '', ['127.0.0.1']);
      world.files.set(`/.well-known/acme-challenge/${token}`, (_request, response) => {
        asked.add(token); // and not answered
        most = Math.max(most, asked.size);
        response.once('close', () => asked.delete(token));
      });
      await post(challengeUrl, {});
    }
    world.addresses.set('quick.web.example.org', ['127.0.0.1']);
    const quick = await newOrder(['quick.web.example.org']);
    const { url, name, token } = await challengeOf(quick.json.authorizations[0], 'http-01');
    world.show('http-01', name, token, key.thumbprint);
    await post(url, {});
    assert.equal((await settled(quick.orderUrl)).status, 'ready');
    assert.ok(most > 0 && most <= 32, `${most} looks at once were of one block; a worker has 64`);
  });

  test('is proven where its intake ended between the job and the order', async () => {
    await using ground = await open(['http-01']);
    const { newOrder, key, settled, challengeOf, store } = ground;
    world.addresses.set('a.example.org', ['127.0.0.1']);
    const { json, orderUrl, orderId } = await newOrder(['a.example.org']);
    const { name, token } = await challengeOf(json.authorizations[0], 'http-01');
    world.show('http-01', name, token, key.thumbprint);
    const redis = openRedis({ url: own.url }, 'patient', quietLog);
    const clock = systemClock;
    const queue = openAcmeQueue({ store: { ...store, redis }, seals: testSeals, clock, log: quietLog });
    await queue.enqueue({
      ...{ kind: 'proof', block: 'web', order: orderId, authorization: 0, challenge: 'http-01' },
      ...{ thumbprint: key.thumbprint, requestId: 'request-1' },
    });
    assert.equal((await settled(orderUrl)).status, 'ready');
    await queue[Symbol.asyncDispose]();
    closeRedis(redis);
  });

  test('changes nothing by a challenge of another account, or at a place that is not there', async () => {
    await using ground = await open(['http-01']);
    const { json, orderId } = await ground.newOrder(['a.example.org']);
    const { url } = await ground.challengeOf(json.authorizations[0], 'http-01');
    const other = await ground.openAccount('account-2');
    for (const [answer, what] of [
      [await other.post(url, {}), 'order'],
      [await ground.post(`/challenge/${orderId}/1/http-01`, {}), 'authorization'],
      [await ground.post(`/challenge/${orderId}/0/dns-01`, {}), 'challenge'],
    ] as const) {
      assert.deepEqual([answer.status, answer.json.detail], [404, `this account has no such ${what}`]);
    }
    const { order } = (await ground.orders.read(orderId)) ?? {};
    assert.equal(order?.authorizations[0]?.challenges[0]?.status, 'pending');
  });

  test('is not believed by a job that somebody wrote into Redis', async () => {
    await using ground = await open(['http-01'], { hasWorker: false });
    const { store, lines } = ground;
    const { orderId } = await ground.newOrder(['a.example.org']);
    const forged = {
      ...{ kind: 'proof', block: 'web', order: orderId, authorization: 0, challenge: 'http-01' },
      ...{ thumbprint: 'of another', requestId: 'request-1', seal: '0'.repeat(64) },
    } as const;
    const queue = openQueue<object>(ACME_QUEUE, { store, clock: systemClock, log: quietLog });
    const job = await queue.add('proof', forged);
    ground.startWorker();
    await waitUntil('the job to be refused', async () => (await job.getState()) === 'failed');
    await queue.close();
    assert.match(lines.map(({ msg }) => msg).join(), /job for an ACME client refused/);
    const [[, [, event]] = ['', ['', '']]] = await store.redis.xrange(`${store.prefix}:trail`, '-', '+');
    assert.match(`${event}`, /"event":"refused".*not made by an intake/);
    assert.equal((await ground.orders.read(orderId))?.order.authorizations[0]?.status, 'pending');
  });
});
