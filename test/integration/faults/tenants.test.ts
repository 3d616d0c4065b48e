import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { after, suite, test } from 'node:test';
import { callQuarryWith } from '../../support/call-quarry.ts';
import { startChalltestsrv } from '../../support/challtestsrv.ts';
import { makeCsr } from '../../support/csr.ts';
import type { ProxiedRequest } from '../../support/fault-proxy.ts';
import { startFleet } from '../../support/fleet.ts';
import { freePort } from '../../support/free-port.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { about, sent } from './orders.ts';

// What orders of one auth block meet does not hold up another block's. Each test has a Quarry of its own,
// over the same Redis and CA, whose blocks are told apart by their keys.

const parts = new AsyncDisposableStack();
after(() => parts.disposeAsync());
const fleet = parts.use(await startFleet({ roles: [] }));
/** The CA asks another one. */
const strange = parts.use(await startChalltestsrv());

const keyOf = (block: string) => `the key of block ${block}`;

const auth = (name: string, more: string) => `[auth "${name}"]
hmac_type = sha256
hmac_key = ${keyOf(name)}
${more}
`;

async function startApart(name: string, blocks: string, { mgmt = '', worker = '' } = {}) {
  const http = `[verification "plain"]\ntype = http01\nlistener = 127.0.0.1:${await freePort()}\nself-check = off\n`;
  const options = {
    mgmt: `default-verification = plain\n${mgmt}`,
    worker,
    redis: `prefix = {${name}}`,
    blocks: http + blocks,
  };
  const to = await fleet.start('up', options);
  return {
    to,
    limits: async (...words: string[]) =>
      callQuarryWith(await fleet.ini(options), ['limits', ...words, 'main.ini']),
    /** What a post through a block is answered with, and how many newOrders the CA was sent for its name. */
    async tryAs(block: string, name: string, csr?: string) {
      const before = sent(fleet.ca, name, 'newOrder').length;
      const csrPem = csr ?? (await makeCsr({ names: [name] })).csrPem;
      const answer = await fleet.post(csrPem, { to, hmac: { key: keyOf(block) } });
      const newOrders = sent(fleet.ca, name, 'newOrder').length - before;
      return { ...answer, newOrders, retryAfter: Number(answer.headers['retry-after']) };
    },
  };
}

/** Takes connections of the CA to the names that are led there, and never says anything. */
async function startTarpit(): Promise<AsyncDisposable & { lead(name: string): Promise<void> }> {
  const address = '127.0.0.3';
  const sockets = new Set<Socket>();
  const server = createServer(socket => void sockets.add(socket.on('error', () => {})));
  await once(server.listen(fleet.front.port, address), 'listening');
  return {
    async lead(name) {
      const body = JSON.stringify({ host: `${name}.`, addresses: [address] });
      const { status } = await fetch(`${fleet.pebble.challtestsrvUrl}/add-a`, { method: 'POST', body });
      assert.equal(status, 200);
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** An authorization that has failed, as it was before. */
function toValidating({ status, body }: { status: number; body: string }) {
  const { challenges, ...authorization } = status === 200 ? JSON.parse(body) : {};
  if (authorization.status !== 'invalid') return undefined;
  const before = (challenge: { status: string }) =>
    challenge.status === 'invalid' ? { ...challenge, status: 'processing', error: undefined } : challenge;
  const validating = { ...authorization, status: 'pending', challenges: challenges.map(before) };
  return { body: JSON.stringify(validating) };
}

suite('one auth block holds up no other', { concurrency: true }, () => {
  test('whose names it fails to prove in a way of its own', async () => {
    const dns = `[verification "dns"]\ntype = dns01-challtestsrv\nset-txt_url = ${strange.managementUrl}/set-txt\n`;
    const domain = 'domain = *.crossed.example';
    const blocks = [auth('dns', `${domain}\nverification = dns`), auth('http', domain)];
    const { tryAs } = await startApart('crossed', dns + blocks.join(''));
    const name = 'www.crossed.example';
    for (let count = 0; count < 4; count++) {
      const { status, newOrders, body } = await tryAs('dns', name);
      assert.deepEqual([status, newOrders], [421, 1], body);
    }
    const heldBack = async () => {
      const { status, newOrders, body } = await tryAs('dns', name);
      assert.deepEqual([status, newOrders], [421, 0], body);
    };
    await heldBack();
    const { status, body } = await tryAs('http', name);
    assert.equal(status, 200, body);
    await heldBack();
  });

  test('when it has used up its share of a registered domain that both have names of', async () => {
    const domain = 'domain = *.shared.example';
    const blocks = [auth('one', `${domain}\nshare = 50%`), auth('other', `${domain}\nshare = 50%`)];
    const counted = '[limits]\ncertificates-per-domain = 4/7d\n';
    const { tryAs, limits } = await startApart('domain', counted + blocks.join(''));
    for (const name of ['a.shared.example', 'b.shared.example'])
      assert.equal((await tryAs('one', name)).status, 200);
    const { status, newOrders, body } = await tryAs('one', 'c.shared.example');
    assert.deepEqual([status, newOrders], [429, 0], body);
    assert.match(
      body,
      /^the share of auth block one of the CA's limit for domain\/shared\.example@\S+ is used up/,
    );
    assert.match(
      (await limits()).stdout,
      /^share\/one\/domain\/shared\.example@\S+ {2}0 of 2 certificates left$/m,
    );
    for (const name of ['d.shared.example', 'e.shared.example'])
      assert.equal((await tryAs('other', name)).status, 200);
  });

  test('when it floods a registered domain that both have names of with names that lead to a tarpit', async t => {
    const domain = 'domain = *.pit.example';
    const blocks = [auth('flood', `${domain}\nshare = 50%`), auth('calm', `${domain}\nshare = 50%`)];
    const counted = '[limits]\ncertificates-per-domain = 16/7d\n';
    const { tryAs } = await startApart('pit', counted + blocks.join(''), {
      worker: 'concurrency = 4',
    });
    await using tarpit = await startTarpit();
    const names = Array.from({ length: 40 }, (_, at) => `h${at}.pit.example`);
    for (const name of names) await tarpit.lead(name);
    // An order that has failed would give back its part of the share, and Pebble gives one up after 15 s.
    const when = (request: ProxiedRequest) => names.some(name => about(name)(request));
    const pending = [
      fleet.ca.playPending({ when }),
      fleet.ca.rule({ when, kind: 'authorization', do: { rewrite: toValidating } }),
    ];
    t.after(() => pending.map(rule => rule.remove()));
    const calm = await makeCsr({ names: ['www.pit.example'] });
    const csrs = await Promise.all(names.map(async name => (await makeCsr({ names: [name] })).csrPem));
    const flood = names.map((name, at) =>
      tryAs('flood', name, csrs[at]).catch(error => ({ status: 0, body: `${error}` })),
    );
    const answered: string[] = [];
    for (const one of flood) void one.then(({ status, body }) => answered.push(`${status} ${body}`));
    const ordersOfFlood = () => names.flatMap(name => sent(fleet.ca, name, 'newOrder'));
    await waitUntil('the flood to be under way', () => ordersOfFlood().length >= 4);
    const before = Date.now();
    const { status, body } = await tryAs('calm', 'www.pit.example', calm.csrPem);
    assert.equal(status, 200, body);
    const [order] = sent(fleet.ca, 'www.pit.example', 'newOrder');
    const between = ordersOfFlood().filter(({ at }) => at > before && at < (order?.at ?? 0));
    assert.ok(between.length <= 2 * 4, `${between.length} orders of the flood went before it`);
    await waitUntil('the share to be used up', () => answered.length > 0);
    const others = answered.filter(answer => !answer.startsWith('429 the share of auth block flood '));
    assert.deepEqual(others, [], 'none of the flood can be proven');
    assert.ok(ordersOfFlood().length <= 8, 'half of what is allowed');
  });

  test('when its orders fail at a rate: it alone is slowed down, until one of them succeeds or an operator lets it', async () => {
    const blocks = [auth('bad', 'domain = *.bad.example'), auth('good', 'domain = *.good.example')];
    const { tryAs, limits } = await startApart('slow', blocks.join(''), { mgmt: 'wait = 20' });
    let names = 0;
    const failOne = async () => {
      const name = `h${names++}.bad.example`;
      await fleet.misdirect(name);
      return tryAs('bad', name);
    };
    /** Of random names: the backoff by names lets each of them pass. */
    const fail = async (count: number) => {
      const failed = await Promise.all(Array.from({ length: count }, failOne));
      for (const { status, body } of failed) assert.equal(status, 421, body);
    };
    await fail(20);
    await fail(1); // the order of this minute
    const { status, newOrders, body, retryAfter } = await failOne();
    assert.deepEqual([status, newOrders], [429, 0], body);
    assert.match(body, /^auth block bad is slowed down to an order a minute until one succeeds/);
    assert.ok(retryAfter > 0 && retryAfter <= 60, `${retryAfter}`);
    assert.equal((await tryAs('good', 'www.good.example')).status, 200);

    const listed = await limits();
    assert.match(listed.stdout, /^slow\/bad {2}until \S+Z\n {4}auth block bad is slowed down/m);
    const cleared = await limits('clear', 'slow/bad');
    assert.deepEqual([cleared.code, cleared.stdout], [0, 'cleared: slow/bad\n'], cleared.stderr);

    await fail(20);
    assert.equal((await failOne()).status, 429);
    // Its minute is over, as far as Redis tells.
    assert.equal(await fleet.redisClient.del('{slow}:budget:slow/bad'), 1);
    assert.equal((await tryAs('bad', 'works.bad.example')).status, 200);
    await fail(10); // a success has ended it
  });
});
