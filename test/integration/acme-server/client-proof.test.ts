import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { formatServer } from '../../../shared/dns/exchange.ts';
import { kindOf, type OrderObject } from '../../support/acme-answers.ts';
import { type AcmeClient, toDns } from '../../support/acme-client.ts';
import { startAcmeFleet } from '../../support/acme-fleet.ts';
import { ask } from '../../support/ask.ts';
import { assertChain } from '../../support/chain.ts';
import { makeCsr } from '../../support/csr.ts';
import { startProofWorld } from '../../support/proof-world.ts';
import { waitUntil } from '../../support/wait-until.ts';

// ACME clients that have to prove their names to Quarry, in a fleet whose worker is killed while it looks.

const world = await startProofWorld();
const { resolvers, tlsPort } = world.proof;
const block = (domain: string, proof: string) =>
  `[auth "${domain}"]\nip = 127.0.0.1\ndomain = *.${domain}\nclient-proof = ${proof}\n` +
  'client-proof-network = 127.0.0.0/8\n';
const acme = await startAcmeFleet({
  acme: [
    ...resolvers.map(server => `proof-resolver = ${formatServer(server)}`),
    `proof-http-port = ${world.httpPort}`,
    `proof-tls-port = ${tlsPort}`,
    'proof-tries = 1',
  ].join('\n'),
  blocks: block('hosts.example.org', 'http-01, dns-01, tls-alpn-01') + block('near.example.org', 'address'),
});
const { fleet } = acme;
const client = await acme.open();
await client.newAccount();
after(async () => {
  client[Symbol.dispose]();
  await acme[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

type Placed = Awaited<ReturnType<AcmeClient['newOrder']>> & { name: string };

async function place(name: string): Promise<Placed> {
  world.addresses.set(name, ['127.0.0.1']);
  return { ...(await client.newOrder({ identifiers: toDns(name) })), name };
}

/** Says that the response to the challenge is there. @param show puts it there */
async function answer(
  { order, name }: Placed,
  type: string,
  show: (token: string) => void = token => world.show(type, name, token, client.key.thumbprint),
): Promise<void> {
  const authorization = await client.readAuthorization(order.authorizations[0] ?? '');
  const challenge = authorization.challenges.find(one => one.type === type);
  assert.ok(challenge?.token);
  show(challenge.token);
  await client.respond(challenge.url);
}

async function settled({ url }: Placed): Promise<OrderObject> {
  let order = await client.readOrder(url);
  await waitUntil('the order to be ready or over', async () => {
    order = await client.readOrder(url);
    return order.status !== 'pending';
  });
  return order;
}

async function assertIssued(placed: Placed): Promise<void> {
  const csr = await makeCsr({ names: [placed.name] });
  const { status, certificate, error } = await client.finalize(placed, csr.csrPem);
  assert.equal(status, 'valid', JSON.stringify(error));
  const chain = await client.certificate(certificate ?? '');
  assertChain(chain, { names: [placed.name], keyPem: csr.keyPem, rootPem: await fleet.pebble.rootPem() });
}

const pathOf = (token: string) => `/.well-known/acme-challenge/${token}`;

suite('a client that has to prove its names', { concurrency: true }, () => {
  const asked = Promise.withResolvers<void>();
  let killed: Placed;
  before(async () => {
    killed = await place('killed.hosts.example.org');
    await answer(killed, 'http-01', token => {
      world.files.set(pathOf(token), () => {
        world.show('http-01', killed.name, token, client.key.thumbprint);
        asked.resolve();
      });
    });
    await asked.promise;
    const [worker] = fleet.all('worker');
    await worker?.kill();
    await fleet.start('worker');
  });

  test('is proven by another worker where the one that looked was killed', async () => {
    assert.equal((await settled(killed)).status, 'ready');
    await assertIssued(killed);
  });

  for (const type of ['http-01', 'dns-01', 'tls-alpn-01'])
    test(`gets its certificate by ${type}`, async () => {
      const placed = await place(`by-${type}.hosts.example.org`);
      assert.equal(placed.order.status, 'pending');
      await answer(placed, type);
      assert.equal((await settled(placed)).status, 'ready');
      await assertIssued(placed);
    });

  for (const [type, kind, detail] of [
    ['http-01', 'incorrectResponse', /status 404$/],
    ['dns-01', 'dns', /there is no TXT record at _acme-challenge\.not-by-dns-01\./],
    ['tls-alpn-01', 'tls', /the handshake for acme-tls\/1 failed/],
  ] as const)
    test(`reads what is missing where it is not proven by ${type}`, async () => {
      const placed = await place(`not-by-${type}.hosts.example.org`);
      await answer(placed, type, () => {});
      const { status, error } = await settled(placed);
      assert.deepEqual([status, kindOf(error)], ['invalid', kind], JSON.stringify(error));
      assert.match(`${error?.detail}`, detail);
    });

  test('has Quarry go to no address by a redirect that its block does not allow', async () => {
    const placed = await place('redirecting.hosts.example.org');
    await answer(placed, 'http-01', token => {
      world.files.set(pathOf(token), (_, response) => {
        response.writeHead(302, { Location: 'http://10.11.12.13/secret' }).end();
      });
    });
    const { status, error } = await settled(placed);
    assert.deepEqual([status, kindOf(error)], ['invalid', 'connection']);
    assert.match(`${error?.detail}`, /it leads to no public address$/);
    assert.doesNotMatch(JSON.stringify(error), /10\.11/);
  });

  test('has nothing to do where the names lead to it, and is refused where they do not', async () => {
    const placed = await place('a.near.example.org');
    assert.equal(placed.order.status, 'ready');
    await assertIssued(placed);
    world.addresses.set('far.near.example.org', ['127.0.0.99']);
    const { problem } = await client.post(client.directory.newOrder, {
      identifiers: toDns('far.near.example.org', 'a.near.example.org'),
    });
    assert.equal(kindOf(problem), 'rejectedIdentifier');
    assert.match(`${problem?.detail}`, /leads to 127\.0\.0\.99, and your address is 127\.0\.0\.1$/);
  });

  test('gets nothing by POST /sign, which cannot prove anything', async () => {
    const { csrPem } = await makeCsr({ names: ['a.near.example.org'] });
    const url = `${acme.base.replace(/\/acme$/, '')}/sign`;
    const { status, body } = await ask(url, { method: 'POST', body: csrPem, ca: acme.ca });
    assert.equal(status, 403);
    assert.match(body, /without a proof of the names by the client \(client-proof\)/);
  });
});
