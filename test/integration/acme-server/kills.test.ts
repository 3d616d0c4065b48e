import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { kindOf, type OrderObject } from '../../support/acme-answers.ts';
import { type AcmeClient, toDns } from '../../support/acme-client.ts';
import { type AcmeFleet, keyedEab, startAcmeFleet } from '../../support/acme-fleet.ts';
import { type ClientKey, makeClientKey } from '../../support/acme-jws.ts';
import { makeCsr } from '../../support/csr.ts';
import type { RoleProcess } from '../../support/fleet.ts';
import { startRedisProxy } from '../../support/redis-proxy.ts';
import { waitUntil } from '../../support/wait-until.ts';

// Intakes that are killed while ACME clients are in the middle of what they do. Many clients share one kill,
// each at a step of its own.

const acme = await startAcmeFleet({ roles: ['worker', 'responder'] });
after(() => acme[Symbol.asyncDispose]());
const { fleet } = acme;

const codes = ['ECONNRESET', 'ECONNREFUSED', 'EPIPE'];

/** As clients do: asks again where the connection ended. */
async function again<T>(act: () => Promise<T>): Promise<T> {
  while (true) {
    try {
      return await act();
    } catch (error) {
      if (!codes.includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      await delay(20);
    }
  }
}

/** What a client has come to. */
type Progress = {
  client: AcmeClient;
  name: string;
  csr: string;
  placed: { order: OrderObject; url: string };
  ended: OrderObject;
  chain: string;
  nextKey?: ClientKey;
};

/** All that a client does, a request each, in this order. */
const steps: [name: string, act: (at: Progress) => Promise<unknown>][] = [
  ['newAccount', ({ client }) => client.newAccount({}, { eab: keyedEab })],
  ['account', ({ client }) => client.readAccount()],
  [
    'newOrder',
    async at => {
      at.placed = await at.client.newOrder({ identifiers: toDns(at.name) });
    },
  ],
  ['order', ({ client, placed }) => client.readOrder(placed.url)],
  ['authorization', ({ client, placed }) => client.readAuthorization(placed.order.authorizations[0] ?? '')],
  [
    'finalize',
    async at => {
      at.ended = await at.client.finalize(at.placed, at.csr);
      assert.equal(at.ended.status, 'valid', JSON.stringify(at.ended.error));
    },
  ],
  ['orders', async ({ client }) => client.post((await client.readAccount()).orders ?? '', undefined)],
  [
    'certificate',
    async at => {
      at.chain = await at.client.certificate(at.ended.certificate ?? '');
    },
  ],
  ['keyChange', changeKey],
  ['revokeCert', ({ client, chain }) => revoke(client, chain)],
];

/** Where the answer got lost, the account may have gone over to the new key. */
async function changeKey(at: Progress): Promise<void> {
  at.nextKey ??= makeClientKey();
  const { status } = await at.client.changeKey(at.nextKey);
  if (status === 200) return;
  const twist = { jwk: true, key: at.nextKey } as const;
  const found = await at.client.newAccount({ onlyReturnExisting: true }, { twist });
  assert.equal(found.status, 200, found.body);
}

async function revoke(client: AcmeClient, chain: string): Promise<void> {
  const certificate = new X509Certificate(chain).raw.toString('base64url');
  const { status, problem } = await client.post(client.directory.revokeCert, { certificate });
  assert.ok(status === 200 || kindOf(problem) === 'alreadyRevoked', problem?.detail);
}

async function begin(name: string): Promise<Progress> {
  const client = await acme.open({ retries: true });
  after(() => client[Symbol.dispose]());
  const { csrPem: csr } = await makeCsr({ names: [name] });
  return { client, name, csr } as Progress;
}

const freshName = () => `k${randomBytes(5).toString('hex')}.example.org`;

test('an intake that is killed while a request of each kind is under way costs its clients a retry', async () => {
  await using proxy = await startRedisProxy(fleet.redis.port);
  const victim = await startIntake(acme, proxy.url);
  const clients = await Promise.all(steps.map(() => begin(freshName())));
  // Each client is before a step of its own: then all ask, Redis stands still, and the intake is killed.
  await Promise.all(
    clients.map(async (at, own) => {
      for (const [, act] of steps.slice(0, own)) await act(at);
    }),
  );
  const orders = fleet.orders();
  const before = new Set<string>();
  proxy.refuse = ({ words }) => {
    for (const word of words) if (word.includes(':acme:nonce:')) before.add(word);
    return undefined;
  };
  fleet.redis.freeze();
  const asked = clients.map((at, own) => again(() => steps[own]?.[1](at) ?? Promise.resolve()));
  await waitUntil('each request to be at Redis', () => before.size >= steps.length);
  const next = startIntake(acme);
  await victim.kill();
  fleet.redis.thaw();
  await next;
  await Promise.all(
    clients.map(async (at, own) => {
      await asked[own];
      for (const [, act] of steps.slice(own + 1)) await again(() => act(at));
    }),
  );
  const finalized = steps.findIndex(([name]) => name === 'finalize');
  assert.equal(fleet.orders() - orders, finalized + 1, 'one order at the CA for each certificate');
});

async function startIntake(acme: AcmeFleet, redisUrl?: string): Promise<RoleProcess> {
  return acme.startIntake(redisUrl === undefined ? {} : { redisUrl });
}
