import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { suite, test } from 'node:test';
import { encodePem } from '../../shared/pki/certificate.ts';
import { makeCsr } from '../../shared/pki/make-csr.ts';
import { startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { waitUntil } from '../support/wait-until.ts';

// One auth block posts 500 CSRs whose names lead to a server that takes connections and never answers, the
// CA's and those of Quarry's own look; another block posts one.

const posts = 500;
const concurrency = 8;
const slots = 4;
const tarpitAddress = '127.0.0.66';
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

async function csrFor(name: string): Promise<string> {
  return encodePem('CERTIFICATE REQUEST', await makeCsr(privateKey, [{ type: 'dns', value: name }]));
}

const auth = (name: string, more = '') =>
  `[auth "${name}"]\nall = yes\ndomain = *.${name}.example\nverification = looked\n${more}\n`;

async function startTarpitted(noisy: string) {
  await using stack = new AsyncDisposableStack();
  const fleet = stack.use(await startFleet({ roles: [] }));
  const { port } = fleet.front;
  const tarpit = createServer(socket => socket.on('error', () => {}).resume());
  tarpit.listen(port, tarpitAddress).unref();
  await once(tarpit, 'listening');
  stack.defer(() => void tarpit.close());
  const look = `self-check = warn
self-check-port = ${port}
self-check-resolver = ${fleet.pebble.dnsServer}
self-check-network = 127.0.0.0/8`;
  const verification = `[verification "looked"]\ntype = http01\nlistener = 127.0.0.1:${await freePort()}\n${look}\n`;
  const bounded = auth('bounded', 'queue-max = 2') + auth('rated', 'rate = 2/h');
  const blocks = verification + auth('noisy', noisy) + auth('quiet') + bounded;
  const options = { worker: `concurrency = ${concurrency}`, blocks };
  for (const role of ['intake', 'worker', 'responder'] as const) await fleet.start(role, options);

  const mislead = async (name: string) => {
    const body = JSON.stringify({ host: `${name}.`, addresses: [tarpitAddress] });
    const { status } = await fetch(`${fleet.pebble.challtestsrvUrl}/add-a`, { method: 'POST', body });
    assert.equal(status, 200);
  };
  const running = stack.move();
  return {
    fleet,
    /** How many orders of the noisy block the CA was asked to make. */
    noisyOrders: () =>
      fleet.ca
        .requests()
        .filter(
          ({ kind, identifiers = [] }) => kind === 'newOrder' && /noisy/.test(identifiers[0]?.value ?? ''),
        ).length,
    /** Posts for a name that leads to the tarpit, and does not wait. */
    async postMisled(name: string) {
      await mislead(name);
      return fleet.post(await csrFor(name), { headers: { Prefer: 'respond-async' } });
    },
    async postNoisy() {
      for (let n = 0; n < posts; n++) {
        const { status, body } = await this.postMisled(`host${n}.noisy.example`);
        assert.equal(status, 202, body);
      }
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

suite('a block that posts 500 CSRs whose names lead to a tarpit', () => {
  test('with slots, keeps another one waiting for none of its orders', async t => {
    await using ground = await startTarpitted(`slots = ${slots}`);
    const { fleet, noisyOrders } = ground;
    await ground.postNoisy();
    const parked = () => fleet.redisClient.zcard('{quarry}:parked:noisy');
    await waitUntil('the others to be parked', async () => (await parked()) > 0 && noisyOrders() >= slots);
    const before = noisyOrders();
    const { status, body } = await fleet.post(await csrFor('one.quiet.example'));
    assert.equal(status, 200, body);
    const meanwhile = noisyOrders() - before;
    t.diagnostic(`${meanwhile} orders of the noisy block were made meanwhile, ${before} before`);
    assert.ok(meanwhile <= slots, `${meanwhile}`);
    assert.ok((await parked()) > posts / 2);
    assert.ok((await fleet.redisClient.scard('{quarry}:slots:noisy')) <= slots);
  });

  test('without slots, keeps another one waiting for no more than an order in each slot of the worker', async t => {
    await using ground = await startTarpitted('');
    const { fleet, noisyOrders } = ground;
    await ground.postNoisy();
    await waitUntil('the worker to be busy', () => noisyOrders() >= concurrency);
    const before = noisyOrders();
    const { status, body } = await fleet.post(await csrFor('one.quiet.example'));
    assert.equal(status, 200, body);
    const meanwhile = noisyOrders() - before;
    t.diagnostic(`${meanwhile} orders of the noisy block were made meanwhile, ${before} before`);
    assert.ok(meanwhile <= 4 * concurrency, `${meanwhile}`);
    assert.ok(noisyOrders() < posts, 'the noisy block is not through yet');
  });

  test('would be refused beyond its queue-max and its rate, with the time to come again', async () => {
    await using ground = await startTarpitted('');
    const { fleet } = ground;
    const names = [1, 2, 3].map(n => `host${n}.bounded.example`);
    const [first, second, third] = await Promise.all(names.map(name => ground.postMisled(name)));
    const statuses = [first, second, third].map(answer => answer?.status).sort();
    assert.deepEqual(statuses, [202, 202, 429]);
    const refused = [first, second, third].find(answer => answer?.status === 429);
    assert.equal(refused?.body, 'too many orders are under way already: post again later\n');
    assert.ok(Number(refused?.headers['retry-after']) >= 5);

    const csr = await csrFor('host.rated.example');
    const from = '127.0.0.9'; // whom other blocks of this file have not counted
    assert.equal((await fleet.post(csr, { from })).status, 200);
    assert.equal((await fleet.post(csr, { from })).status, 200);
    const beyond = await fleet.post(csr, { from });
    assert.deepEqual(
      [beyond.status, beyond.body],
      [429, 'too many requests of this client: post again later\n'],
    );
    assert.ok(Number(beyond.headers['retry-after']) > 60);
    assert.equal((await fleet.post(csr, { from: '127.0.0.5' })).status, 200);
  });
});
