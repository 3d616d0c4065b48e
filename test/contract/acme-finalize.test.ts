import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { UnrecoverableError } from 'bullmq';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import { SIGN_QUEUE, type SignJobData, type SignResult } from '../../shared/queue/sign-records.ts';
import { ecKey, makeCsr } from '../shared/pki/openssl-csr.ts';
import { toCsrField } from '../support/acme-client.ts';
import { quietLog } from '../support/quiet-log.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Answer, block, issuedFor, openGround } from './acme-intake.ts';
import { startOwnRedis } from './own-redis.ts';

const own = await startOwnRedis();
const csrFor = (names: string, key = ecKey()) => ({ csr: toCsrField(makeCsr({ names, key })) });
const payload = csrFor('DNS:a.example.org');
const kindOf = ({ json }: Answer) => String(json.type).replace('urn:ietf:params:acme:error:', '');
const stateOf = ({ status, json }: Answer) => [status, json.status];

/** An account with an order of one name. */
async function openOrdered(first: Parameters<typeof openGround>[1] = {}) {
  const ground = await openGround(own, first);
  const account = await ground.openAccount('account-1');
  const order = await account.newOrder(['a.example.org']);
  const { post } = account;
  return {
    ...ground,
    ...account,
    ...order,
    finalize: (at?: Parameters<typeof post>[2]) => post(order.json.finalize, payload, at),
  };
}

/** Work that ends when the test says how. */
function openWork() {
  const { promise, resolve } = Promise.withResolvers<(data: SignJobData) => SignResult>();
  return { work: async (data: SignJobData) => (await promise)(data), endAs: resolve };
}

test('a client that has waited long enough is told to look again, and finds its certificate whenever it comes', async () => {
  await using ground = await openOrdered({ wait: 0 });
  const { post, finalize, orderUrl } = ground;
  const { work, endAs } = openWork();
  const worker = ground.openWorker(work);
  for (const answer of [await finalize(), await post(orderUrl), await finalize()]) {
    assert.deepEqual(stateOf(answer), [200, 'processing'], answer.text);
    assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    assert.equal(answer.headers.get('location'), orderUrl);
  }
  const other = await post(ground.json.finalize, csrFor('DNS:a.example.org', ecKey('P-384')));
  assert.deepEqual([other.status, kindOf(other)], [403, 'orderNotReady']);
  endAs(issuedFor);
  await waitUntil('the order to end', async () => (await post(orderUrl)).json.status === 'valid');
  assert.equal(worker.begun.length, 1);
  await ground.redis.del(`${ground.prefix}:result:${worker.begun[0]?.jobId}`); // as after a day
  const done = await finalize();
  assert.deepEqual(stateOf(done), [200, 'valid']);
  assert.equal(done.headers.get('retry-after'), null);
  assert.match((await post(done.json.certificate)).text, /BEGIN CERTIFICATE/);
});

test('a client that is held gets its certificate when the job ends, wherever its request came in', async () => {
  await using ground = await openOrdered();
  const { work, endAs } = openWork();
  const worker = ground.openWorker(work);
  const second = await ground.openIntake();
  const held = [ground.finalize(), ground.finalize(second)];
  await waitUntil('the job to be begun', () => worker.begun.length > 0);
  endAs(issuedFor);
  const answers = await Promise.all(held);
  assert.deepEqual(answers.map(stateOf), [
    [200, 'valid'],
    [200, 'valid'],
  ]);
  assert.deepEqual(answers[0]?.json, answers[1]?.json);
  assert.equal(worker.begun.length, 1);
  assert.equal(await ground.redis.hget(`${ground.prefix}:acme:use:account-1`, 'certificates'), '1');
});

test('an intake that ends between the order and its job costs a retry: the job is made once, as it was reserved', async () => {
  await using ground = await openOrdered({ wait: 0 });
  const reserved: string[] = [];
  const dying = await ground.openIntake({
    wrapQueue: (queue): SignQueue => ({
      ...queue,
      enqueue: async (_data, reserve) => {
        reserved.push((await reserve?.('00000000-0000-4000-8000-000000000000')) ?? '');
        throw new Error('killed');
      },
    }),
  });
  assert.equal((await ground.finalize(dying)).status, 500);
  assert.equal((await ground.orders.read(ground.orderId))?.order.job, reserved[0]);
  const worker = ground.openWorker();
  // Some clients look at the order before they ask again.
  assert.deepEqual(stateOf(await ground.post(ground.orderUrl)), [200, 'processing']);
  await waitUntil('the order to end', async () => (await ground.finalize()).json.status === 'valid');
  assert.deepEqual(
    worker.begun.map(({ jobId }) => jobId),
    reserved,
  );
});

test('a job that Redis has lost is made again by who asks for the order', async () => {
  await using ground = await openOrdered({ wait: 0 });
  const { post, orderUrl, redis, prefix } = ground;
  assert.deepEqual(stateOf(await ground.finalize()), [200, 'processing']);
  const { job } = (await ground.orders.read(ground.orderId))?.order ?? {};
  for (const ask of [() => ground.finalize(), () => post(orderUrl)]) {
    await redis.del(await redis.keys(`${prefix}:${SIGN_QUEUE}:*`));
    assert.deepEqual(stateOf(await ask()), [200, 'processing']);
    assert.equal(await redis.exists(`${prefix}:${SIGN_QUEUE}:${job}`), 1);
  }
  const worker = ground.openWorker();
  await waitUntil('the order to end', async () => (await post(orderUrl)).json.status === 'valid');
  assert.equal(worker.begun.length, 1);
});

for (const look of ['a poll of the order', 'another finalize'])
  test(`an order whose job BullMQ has failed, and nobody has ended, is ended by ${look}`, async () => {
    await using ground = await openOrdered({ wait: 0 });
    const { post, finalize, orderUrl, redis, prefix } = ground;
    assert.deepEqual(stateOf(await finalize()), [200, 'processing']);
    ground.openWorker(() => {
      throw new UnrecoverableError('a bug');
    });
    const isFailed = async () => (await redis.zcard(`${prefix}:${SIGN_QUEUE}:failed`)) === 1;
    await waitUntil('BullMQ to fail the job', isFailed);
    const ended = await (look === 'another finalize' ? finalize() : post(orderUrl));
    assert.deepEqual(stateOf(ended), [200, 'invalid']);
    assert.equal(ended.json.error.type, 'urn:ietf:params:acme:error:serverInternal');
    assert.deepEqual((await post(orderUrl)).json, ended.json);
  });

test('an order, an authorization, a challenge and a certificate of another account are as if there were none', async () => {
  await using ground = await openOrdered();
  ground.openWorker();
  const { json } = await ground.finalize();
  const [authorization = ''] = json.authorizations as string[];
  const other = await ground.openAccount('account-2');
  const [challenge] = (await ground.post(authorization)).json.challenges;
  const made = (url: string) => url.replace(/[^/]+(?=\/finalize$|$)/, 'x').replace(ground.orderId, 'none');
  for (const [url, body] of [
    [ground.orderUrl],
    [json.finalize, payload],
    [authorization],
    [authorization, { status: 'deactivated' }],
    [challenge?.url ?? ''],
    [json.certificate],
  ] as [string, unknown?][]) {
    const [theirs, nobodys] = [await other.post(url, body), await other.post(made(url), body)];
    assert.deepEqual([theirs.status, kindOf(theirs)], [404, 'malformed'], url);
    assert.equal(theirs.json.detail, nobodys.json.detail, url);
  }
  assert.deepEqual((await ground.post(ground.orderUrl)).json, json);
});

test('a job that fails makes the order invalid, with what the CA found; the order says so from then on', async () => {
  await using ground = await openOrdered();
  const identifier = { type: 'dns', value: 'a.example.org' };
  const type = 'urn:ietf:params:acme:error:dns';
  const detail = 'a.example.org: NXDOMAIN (https://ca.example.net/help)';
  ground.openWorker(({ block: name }) => ({
    ...{ outcome: 'failed', block: name },
    error: {
      code: 'challengeFailed',
      detail,
      problem: { type, subproblems: [{ type, detail, identifier }] },
    },
  }));
  const failed = await ground.finalize();
  const words = 'a.example.org: NXDOMAIN ((a page of the CA)';
  assert.deepEqual(stateOf(failed), [200, 'invalid']);
  assert.deepEqual(failed.json.error, {
    ...{ type, detail: words, status: 400, subproblems: [{ type, detail: words, identifier }] },
  });
  assert.deepEqual((await ground.post(ground.orderUrl)).json, failed.json);
  assert.deepEqual((await ground.finalize()).json, failed.json);
});

test("finalize is judged by today's configuration: who is not admitted any more gets nothing, nor another block's names", async () => {
  await using ground = await openOrdered({ blocks: [block('web'), block('also')] });
  const shut = await ground.openIntake({ blocks: [block('web', { ips: ['192.0.2.1'] })] });
  const stranger = await ground.finalize(shut);
  assert.deepEqual([stranger.status, kindOf(stranger)], [403, 'unauthorized']);
  const narrow = await ground.openIntake({ blocks: [block('web', { domains: ['b.example.org'] })] });
  const refused = await ground.finalize(narrow);
  assert.deepEqual([refused.status, kindOf(refused)], [403, 'rejectedIdentifier']);
  assert.equal((await ground.post(ground.orderUrl)).json.status, 'ready');
  // Of several that admit it, the one that it was taken by.
  const turned = await ground.openIntake({ blocks: [block('also'), block('web')] });
  const worker = ground.openWorker();
  assert.deepEqual(stateOf(await ground.finalize(turned)), [200, 'valid']);
  assert.equal(worker.begun[0]?.data.block, 'web');
});

test('an order that its client has proven nothing for is not finalized by a block that wants proof by today', async () => {
  await using ground = await openOrdered();
  const clientProof = { types: ['http-01' as const], networks: [] };
  const strict = await ground.openIntake({ blocks: [block('web', { clientProof })] });
  const refused = await ground.finalize(strict);
  assert.deepEqual([refused.status, kindOf(refused)], [403, 'unauthorized']);
  const pending = await ground.newOrder(['b.example.org'], {}, strict);
  assert.equal(pending.json.status, 'pending');
  const early = await ground.post(pending.json.finalize, csrFor('DNS:b.example.org'), strict);
  assert.deepEqual([early.status, kindOf(early)], [403, 'orderNotReady']);
  const { json } = await ground.post(pending.json.authorizations[0] ?? '', undefined, strict);
  assert.deepEqual(
    json.challenges.map(({ type, status }) => [type, status]),
    [['http-01', 'pending']],
  );
});

test('a block with all of its places taken refuses to finalize for now, and the order stays ready', async () => {
  const blocks = [block('web', { bounds: { queueMax: 1 } })];
  await using ground = await openOrdered({ blocks, wait: 0 });
  const second = await ground.newOrder(['b.example.org']);
  assert.deepEqual(stateOf(await ground.finalize()), [200, 'processing']);
  const full = await ground.post(second.json.finalize, csrFor('DNS:b.example.org'));
  assert.deepEqual([full.status, kindOf(full)], [429, 'rateLimited']);
  assert.ok(Number(full.headers.get('retry-after')) >= 1);
  assert.equal((await ground.post(second.orderUrl)).json.status, 'ready');
  assert.deepEqual(stateOf(await ground.finalize()), [200, 'processing']);
});

test('newOrder counts for the rates of its block, and finalize does not', async () => {
  const blocks = [block('web', { bounds: { rate: { count: 2, period: 3_600_000 } } })];
  await using ground = await openOrdered({ blocks });
  ground.openWorker();
  await ground.newOrder(['b.example.org']);
  const late = await ground.post('/new-order', { identifiers: [{ type: 'dns', value: 'c.example.org' }] });
  assert.deepEqual([late.status, kindOf(late)], [429, 'rateLimited']);
  assert.deepEqual(stateOf(await ground.finalize()), [200, 'valid']);
});

test('the certificate profile that the client names is wanted of all accounts, else those of the block are', async () => {
  const accounts = [
    { account: 'account', certificateProfile: 'own', profileIfOffered: true as const },
    { account: 'second', preferredChain: 'X1' },
  ];
  const blocks = [block('web', { accounts })];
  await using ground = await openGround(own, { blocks, profiles: { short: 'for a week' } });
  const { post, newOrder } = await ground.openAccount('account-1');
  const worker = ground.openWorker();
  for (const [profile, wanted] of [
    [undefined, accounts],
    [
      'short',
      [
        { account: 'account', certificateProfile: 'short' },
        { ...accounts[1], certificateProfile: 'short' },
      ],
    ],
  ] as const) {
    const { json } = await newOrder(['a.example.org'], profile ? { profile } : {});
    assert.deepEqual(stateOf(await post(json.finalize, payload)), [200, 'valid']);
    assert.deepEqual(worker.begun.at(-1)?.data.accounts, wanted);
  }
});

test('an authorization that its client has deactivated ends an order that is not finalized, and no other', async () => {
  await using ground = await openOrdered();
  const { post, json, orderUrl } = ground;
  const [authorization = ''] = json.authorizations as string[];
  assert.equal(kindOf(await post(authorization, { status: 'valid' })), 'malformed');
  const gone = await post(authorization, { status: 'deactivated' });
  assert.deepEqual(stateOf(gone), [200, 'deactivated']);
  assert.deepEqual((await post(authorization, { status: 'deactivated' })).json, gone.json);
  const order = await post(orderUrl);
  assert.equal(order.json.status, 'invalid');
  assert.match(order.json.error.detail, /deactivated/);
  assert.equal(kindOf(await ground.finalize()), 'orderNotReady');
  const life = await ground.redis.pttl(ground.orders.key(ground.orderId));
  assert.ok(life <= 15 * 60_000, 'an order that came to nothing is not kept for a day');
  ground.openWorker();
  const second = await ground.newOrder(['b.example.org']);
  await post(second.json.finalize, csrFor('DNS:b.example.org'));
  const late = await post(second.json.authorizations[0] ?? '', { status: 'deactivated' });
  assert.deepEqual(stateOf(late), [200, 'deactivated']);
  assert.equal((await post(second.orderUrl)).json.status, 'valid');
});

test('a Redis that refuses to write costs a retry, wherever in an order that is', async () => {
  const requests = openRedis({ url: own.url }, 'impatient', quietLog);
  after(() => closeRedis(requests));
  await using ground = await openGround({ ...own, connect: () => requests });
  const { post, newOrder } = await ground.openAccount('account-1');
  const { json, orderUrl } = await newOrder(['a.example.org']);
  const identifiers = [{ type: 'dns', value: 'b.example.org' }];
  const refuseWrites = (most: number) => own.redis.config('SET', 'min-replicas-to-write', most);
  await refuseWrites(1);
  for (const ask of [
    () => post('/new-order', { identifiers }),
    () => post(json.finalize, payload),
    () => post(orderUrl),
    () => post(json.authorizations[0] ?? '', { status: 'deactivated' }),
  ]) {
    const answer = await ask();
    assert.deepEqual([answer.status, kindOf(answer)], [503, 'serverInternal'], answer.text);
    assert.match(answer.json.detail, /^Redis refuses to write: .*\(NOREPLICAS\)$/);
    assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    assert.ok(answer.headers.get('replay-nonce'));
  }
  await refuseWrites(0);
  ground.openWorker();
  assert.deepEqual(stateOf(await post(json.finalize, payload)), [200, 'valid']);
});
