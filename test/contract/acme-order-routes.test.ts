import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { StandingLimitError } from '../../shared/limits/limits.ts';
import { readCertificate } from '../../shared/pki/certificate.ts';
import { ecKey, makeCsr, rsaKey } from '../shared/pki/openssl-csr.ts';
import { toCsrField } from '../support/acme-client.ts';
import { toClientKey } from '../support/acme-jws.ts';
import { type Answer, block, openGround } from './acme-intake.ts';
import { startOwnRedis } from './own-redis.ts';

const own = await startOwnRedis();
const csrFor = (names: string, key = ecKey()) => ({ csr: toCsrField(makeCsr({ names, key })) });
const kindOf = ({ json }: Answer) => String(json.type).replace('urn:ietf:params:acme:error:', '');

test('a client gets its certificate: authorizations are valid from the start, and the job is for no storage', async () => {
  await using ground = await openGround(own);
  const worker = ground.openWorker();
  const { post, newOrder } = await ground.openAccount('account-1');
  const names = ['a.example.org', 'A.example.org', '*.b.example.org', '192.0.2.7'];
  const order = await newOrder(names);
  const distinct = ['a.example.org', '*.b.example.org', '192.0.2.7'];
  assert.deepEqual(
    order.json.identifiers.map((one: { value: string }) => one.value),
    distinct,
  );
  assert.equal(order.json.status, 'ready');
  const listed = [];
  for (const url of order.json.authorizations) {
    const { json } = await post(url);
    const { identifier, status, wildcard, challenges } = json;
    listed.push([
      identifier.value,
      status,
      wildcard,
      challenges.map((one: { type: string }) => one.type).join(),
    ]);
    for (const challenge of challenges) {
      assert.match(challenge.token, /^[\w-]{22,}$/);
      const answer = await post(challenge.url, {});
      assert.deepEqual([answer.status, answer.json], [200, challenge]);
      assert.equal(challenge.status, 'valid');
      assert.match(answer.headers.get('link') ?? '', new RegExp(`<${url}>;rel="up"`));
    }
  }
  assert.deepEqual(listed, [
    ['a.example.org', 'valid', undefined, 'http-01,dns-01,tls-alpn-01'],
    ['b.example.org', 'valid', true, 'dns-01'],
    ['192.0.2.7', 'valid', undefined, 'http-01,tls-alpn-01'],
  ]);

  const payload = csrFor('DNS:*.b.example.org,DNS:A.EXAMPLE.org,IP:192.0.2.7');
  const done = await post(order.json.finalize, payload);
  assert.deepEqual([done.status, done.json.status], [200, 'valid'], done.text);
  assert.equal(done.headers.get('location'), order.orderUrl);
  const { text, headers } = await post(done.json.certificate);
  assert.equal(headers.get('content-type'), 'application/pem-certificate-chain');
  const held = readCertificate(text).identifiers.map(({ value }) => value);
  assert.deepEqual(held.sort(), [...distinct].sort());
  assert.deepEqual((await post(order.orderUrl)).json, done.json);
  assert.deepEqual((await post(order.json.finalize, payload)).json, done.json);

  const { certificates } = ground;
  await certificates.mark(done.json.certificate.split('/').at(-1) ?? '', { revoked: Date.now() });
  assert.equal((await post(done.json.certificate)).text, text); // as Boulder does

  const [{ data } = {}, ...others] = worker.begun;
  // The block, its accounts and solvers, and who asks: by these workers give slots, shares and turns, and
  // write the trail and the inventory, as for a post.
  const { csr: _, identifiers: __, publicKey: ___, ...shared } = data ?? {};
  assert.deepEqual(others, []);
  assert.deepEqual(shared, {
    ...{ accounts: [{ account: 'account' }], solvers: ['http', 'dns'], block: 'web', storage: '' },
    ...{ client: '127.0.0.1', by: 'address, client account account-1', requestId: 'request-1' },
    ...{ patience: 90_000, order: order.orderId, clientAccount: 'account-1' },
  });
  assert.deepEqual(
    ground.intake.trail.map(({ event }) => event),
    ['admitted'],
  );
  assert.equal(await ground.redis.hget(`${ground.prefix}:acme:use:account-1`, 'certificates'), '1');
  assert.deepEqual(await ground.redis.keys(`${ground.prefix}:promise:*`), []);
});

test('what an account may not have is refused by one problem for each name, before an order is taken', async () => {
  const blocks = [block('web', { challenges: ['http-01'], verifications: ['http'] })];
  await using ground = await openGround(own, { blocks, profiles: { short: 'for a week' } });
  const { post } = await ground.openAccount('account-1');
  const ask = (identifiers: unknown, more = {}) => post('/new-order', { identifiers, ...more });
  const dns = (...names: string[]) => names.map(value => ({ type: 'dns', value }));
  const valuesOf = ({ json }: Answer) =>
    json.subproblems?.map((one: { identifier: { value: string } }) => one.identifier.value);

  const refused = await ask(dns('a.example.org', 'a.example.net', 'b.example.net'));
  assert.deepEqual([refused.status, kindOf(refused)], [403, 'rejectedIdentifier']);
  assert.deepEqual(valuesOf(refused), ['a.example.net', 'b.example.net']);
  assert.equal(
    refused.json.detail,
    'not admitted: a.example.net; add it as a domain line to an [auth] block on the server',
  );
  const wildcard = await ask(dns('a.example.org', '*.a.example.org'));
  assert.deepEqual([kindOf(wildcard), valuesOf(wildcard)], ['rejectedIdentifier', ['*.a.example.org']]);

  const faulty = await ask([...dns('a.example.org', 'b_c.example.org'), { type: 'ip', value: '192.0.2' }]);
  assert.deepEqual([faulty.status, kindOf(faulty)], [400, 'malformed']);
  assert.deepEqual(valuesOf(faulty), ['b_c.example.org', '192.0.2']);
  const odd = await ask([{ type: 'email', value: 'a@example.org' }]);
  assert.deepEqual(
    [odd.status, kindOf(odd), valuesOf(odd)],
    [400, 'unsupportedIdentifier', ['a@example.org']],
  );
  const many = Array.from({ length: 101 }, (_, at) => `n${at}.example.org`);
  for (const bad of [
    undefined,
    [],
    {},
    'a.example.org',
    ['a.example.org'],
    [null],
    dns('bücher.example.org'),
    dns(...many),
  ])
    assert.equal(kindOf(await ask(bad)), 'malformed', JSON.stringify(bad));

  const good = dns('a.example.org');
  assert.equal(kindOf(await ask(good, { notAfter: '2027-01-01T00:00:00Z' })), 'malformed');
  const zero = '0001-01-01T00:00:00Z';
  assert.equal((await ask(good, { notBefore: zero, notAfter: zero })).status, 201);
  assert.equal(kindOf(await ask(good, { profile: 'long' })), 'invalidProfile');
  assert.equal(kindOf(await ask(good, { profile: 'toString' })), 'invalidProfile');
  assert.equal((await ask(good, { profile: 'short' })).json.profile, 'short');
  assert.equal(kindOf(await post('/new-order')), 'malformed');
  assert.equal((await ground.orders.list('account-1')).ids.length, 2);
});

test('a limit that stands is told with its end, before an order is taken and before it is finalized', async () => {
  const until = Date.now() + 3_600_000;
  const limit = new StandingLimitError('challengeFailed', 'it failed too often', { retryAfter: until });
  await using ground = await openGround(own);
  const { post, newOrder } = await ground.openAccount('account-1');
  const order = await newOrder(['a.example.org']);
  const limited = await ground.openIntake({ limit });
  const payload = csrFor('DNS:a.example.org');
  for (const answer of [
    await post('/new-order', { identifiers: [{ type: 'dns', value: 'a.example.org' }] }, limited),
    await post(order.json.finalize, payload, limited),
  ]) {
    assert.deepEqual([answer.status, kindOf(answer)], [429, 'rateLimited']);
    const seconds = Number(answer.headers.get('retry-after'));
    assert.ok(seconds > 3_000 && seconds <= 3_600, `${seconds}`);
  }
  const blocked = new StandingLimitError('denied', 'the public key is blocked');
  const refused = await post(order.json.finalize, payload, await ground.openIntake({ limit: blocked }));
  assert.deepEqual([kindOf(refused), refused.json.detail], ['badCSR', 'the public key is blocked']);
  assert.equal((await post(order.orderUrl)).json.status, 'ready');
});

test('a CSR that is not for the order is refused, and the order stays ready', async () => {
  await using ground = await openGround(own);
  const key = toClientKey(createPrivateKey(readFileSync(rsaKey())), 'RS256');
  const { post, newOrder } = await ground.openAccount('account-1', key);
  const order = await newOrder(['a.example.org']);
  const finalize = (payload?: unknown) => post(order.json.finalize, payload);
  const { csr } = csrFor('DNS:a.example.org');
  for (const [payload, kind, words] of [
    [undefined, 'malformed', /no csr/],
    [{ csr: 7 }, 'malformed', /no csr/],
    [{ csr: `${csr}!` }, 'badCSR', /base64url/],
    [{ csr: csr.slice(0, 99) }, 'badCSR', /cannot be parsed|ends early/],
    [csrFor('DNS:b.example.org'), 'badCSR', /does not name a\.example\.org/],
    [csrFor('DNS:a.example.org,DNS:b.example.org'), 'badCSR', /names b\.example\.org/],
    [csrFor('DNS:a.example.org', rsaKey()), 'badCSR', /the key of the account/],
  ] as const) {
    const answer = await finalize(payload);
    assert.deepEqual([answer.status, kindOf(answer)], [400, kind], answer.text);
    assert.match(answer.json.detail, words);
  }
  assert.equal((await post(order.orderUrl)).json.status, 'ready');
  ground.openWorker();
  const padded = `${csr}${'='.repeat((4 - (csr.length % 4)) % 4)}`;
  assert.equal((await finalize({ csr: padded })).json.status, 'valid');
  const other = await finalize(csrFor('DNS:a.example.org'));
  assert.deepEqual([other.status, kindOf(other)], [403, 'orderNotReady']);
});
