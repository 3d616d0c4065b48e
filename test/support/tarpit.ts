import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { encodePem } from '../../shared/pki/certificate.ts';
import { makeCsr } from '../../shared/pki/make-csr.ts';
import type { Answer } from './ask.ts';
import { type Fleet, startFleet } from './fleet.ts';
import { freePort } from './free-port.ts';
import { waitUntil } from './wait-until.ts';

/** Slots of the one worker. */
export const workerSlots = 8;
const address = '127.0.0.66';
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

export async function csrFor(name: string): Promise<string> {
  return encodePem('CERTIFICATE REQUEST', await makeCsr(privateKey, [{ type: 'dns', value: name }]));
}

export type TarpitGround = AsyncDisposable & {
  fleet: Fleet;
  /** How many orders of the noisy block the CA was asked to make. */
  noisyOrders(): number;
  /** How many of its jobs wait for a slot of the block. */
  parked(): Promise<number>;
  /** Posts for a name that leads to the tarpit, and does not wait. */
  postMisled(name: string): Promise<Answer>;
  /** Has the noisy block post so often, and waits until so many orders are under way. */
  makeNoise(posts: number, orders: number): Promise<void>;
};

/**
 * Quarry whose block `noisy` posts for names that lead to a server which takes connections and never answers,
 * the CA's and those of Quarry's own look. The names of a block are those in `<block>.shared.example`.
 *
 * @param more options of the blocks `noisy` and `quiet`, and other sections
 */
export async function startTarpitGround(more: {
  noisy?: string;
  quiet?: string;
  sections?: string;
}): Promise<TarpitGround> {
  await using stack = new AsyncDisposableStack();
  const fleet = stack.use(await startFleet({ roles: [] }));
  const { port } = fleet.front;
  const tarpit = createServer(socket => socket.on('error', () => {}).resume());
  tarpit.listen(port, address).unref();
  await once(tarpit, 'listening');
  stack.defer(() => void tarpit.close());
  const verification = `[verification "looked"]
type = http01
listener = 127.0.0.1:${await freePort()}
self-check = warn
self-check-port = ${port}
self-check-resolver = ${fleet.pebble.dnsServer}
self-check-network = 127.0.0.0/8
`;
  const auth = (name: string, options = '') =>
    `[auth "${name}"]\nall = yes\ndomain = *.${name}.shared.example\nverification = looked\n${options}\n`;
  const blocks = [verification, auth('noisy', more.noisy), auth('quiet', more.quiet), more.sections ?? ''];
  const options = { worker: `concurrency = ${workerSlots}`, blocks: blocks.join('') };
  for (const role of ['intake', 'worker', 'responder'] as const) await fleet.start(role, options);

  async function postMisled(name: string): Promise<Answer> {
    const body = JSON.stringify({ host: `${name}.`, addresses: [address] });
    const { status } = await fetch(`${fleet.pebble.challtestsrvUrl}/add-a`, { method: 'POST', body });
    assert.equal(status, 200);
    return fleet.post(await csrFor(name), { headers: { Prefer: 'respond-async' } });
  }

  const isNoisy = ({ value }: { value: string }) => value.endsWith('.noisy.shared.example');
  const noisyOrders = () =>
    fleet.ca
      .requests()
      .filter(({ kind, identifiers = [] }) => kind === 'newOrder' && identifiers.some(isNoisy)).length;
  const running = stack.move();
  return {
    fleet,
    noisyOrders,
    parked: () => fleet.redisClient.zcard('{quarry}:parked:noisy'),
    postMisled,
    async makeNoise(posts, orders) {
      for (let n = 0; n < posts; n++) {
        const { status, body } = await postMisled(`host${n}.noisy.shared.example`);
        assert.equal(status, 202, body);
      }
      await waitUntil('the worker to be busy', () => noisyOrders() >= orders);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
