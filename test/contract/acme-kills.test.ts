import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openAdmission } from '../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import { closeRedis } from '../../shared/base/open-redis.ts';
import { openIssuing } from '../../shared/issue/request-certificate.ts';
import { hmacBlock, openIntake, ownAccount } from '../services/intake/open-intake.ts';
import { type OrderObject, readObject } from '../support/acme-answers.ts';
import { type AcmeClient, openAcmeClient, toCsrField, toDns } from '../support/acme-client.ts';
import { type ClientKey, makeClientKey } from '../support/acme-jws.ts';
import { makeCsr } from '../support/csr.ts';
import { quietLog } from '../support/quiet-log.ts';
import { CUT_AFTER, CUT_BEFORE, startRedisProxy } from '../support/redis-proxy.ts';
import { startTcpFront } from '../support/tcp-front.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';
import { openReadyIntakeSide } from './sign-parts.ts';

// An intake that dies at each of the commands of Redis by which it works on a request of an ACME client:
// before Redis has it, and before its answer is there. The client asks again, at another intake; nothing is
// lost, and nothing is done twice.

const own = await startOwnRedis();
const front = await startTcpFront();
after(() => front[Symbol.asyncDispose]());
const url = `http://127.0.0.1:${front.port}/acme`;
const block: AuthBlockConfig = { ...hmacBlock, storage: '' };
const eab = { kid: 'hmac', key: 'a secret' };
const { csrPem } = await makeCsr({ names: ['www.example.org'] });

/** An intake with connections of its own to Redis. */
async function startIntake(redisUrl: string, prefix: string) {
  await using started = new AsyncDisposableStack();
  const { queue: signQueue, redis } = started.use(await openReadyIntakeSide(redisUrl, prefix));
  started.defer(() => closeRedis(redis));
  const clock = turnedClock(1_000_000);
  const issuing = openIssuing({
    admission: openAdmission([block], {
      takeOnce: async () => undefined,
      judgeToken: async () => ({ refused: '' }),
    }),
    storages: new Map(),
    limits: new Map([['account', { standingAgainst: async () => undefined, keysAgainst: () => [] }]]),
    accounts: [ownAccount],
    renewals: { fetched: async () => {} },
    blockedKeys: new Map(),
    trail: { write: async () => {} },
    ...{ signQueue, clock, log: quietLog },
  });
  const intake = await openIntake([block], { acme: { url, store: { redis, prefix }, issuing } });
  started.use(intake);
  const parts = started.move();
  return { port: intake.port, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

type Client = { acme: AcmeClient; order: OrderObject; orderUrl: string; nextKey?: ClientKey };

/** What a client does, one after the other; each may be asked for again, as answers get lost. */
const steps: Record<string, (client: Client) => Promise<void>> = {
  async newAccount({ acme }) {
    assert.ok([200, 201].includes((await acme.newAccount({}, { eab })).status));
  },
  async update({ acme }) {
    assert.equal((await acme.post(acme.kid, { contact: ['mailto:a@example.org'] })).status, 200);
  },
  async newOrder(client) {
    const { order, url } = await client.acme.newOrder({ identifiers: toDns('www.example.org') });
    Object.assign(client, { order, orderUrl: url });
  },
  async authorization({ acme, order }) {
    assert.equal((await acme.readAuthorization(order.authorizations[0] ?? '')).status, 'valid');
  },
  async finalize({ acme, order }) {
    const answer = await acme.post(order.finalize, { csr: toCsrField(csrPem) });
    assert.equal(readObject<OrderObject>(answer).status, 'processing');
  },
  async order({ acme, orderUrl }) {
    assert.equal((await acme.readOrder(orderUrl)).status, 'processing');
  },
  async keyChange(client) {
    const { acme } = client;
    client.nextKey ??= makeClientKey();
    const { status } = await acme.changeKey(client.nextKey);
    if (status === 200) return;
    // The answer of the first try was lost, and the account has gone over.
    const twist = { jwk: true, key: client.nextKey } as const;
    assert.equal((await acme.newAccount({ onlyReturnExisting: true }, { twist })).status, 200);
  },
  async deactivate({ acme }) {
    const { status } = await acme.post(acme.kid, { status: 'deactivated' });
    assert.ok([200, 401].includes(status));
  },
};

/** As clients do: asks again where the connection ended. */
async function again(act: () => Promise<void>): Promise<void> {
  for (let tries = 0; ; tries++)
    try {
      return await act();
    } catch (error) {
      const isCut = ['ECONNRESET', 'ECONNREFUSED', 'EPIPE'].includes((error as { code?: string }).code ?? '');
      if (!isCut || tries > 50) throw error;
      await delay(5);
    }
}

/** Those that a connection sends by itself. */
const background = ['ping', 'info', 'hello', 'auth', 'client', 'select', 'subscribe', 'psubscribe', 'script'];

/** All deaths share one healthy intake, and its store. */
const { prefix, redis } = own.newStore();
const other = await startIntake(own.url, prefix);
after(() => other[Symbol.asyncDispose]());

/** Where the front leads from now on. */
function lead({ port }: { port: number }): void {
  front.servers.splice(0, front.servers.length, { host: '127.0.0.1', port });
}

async function countJobs(): Promise<number> {
  const keys = await redis.keys(`${prefix}:sign:*`);
  return keys.filter(key => /:sign:[0-9a-f-]{36}$/.test(key)).length;
}

const countAccounts = () => redis.zcard(`${prefix}:acme:accounts`);

async function takeSteps(client: Client, names: string[]): Promise<void> {
  for (const name of names) await again(async () => steps[name]?.(client));
}

/** @returns whether the intake died in this step: else it was done with fewer commands */
async function dieIn(
  name: string,
  nth: number,
  side: typeof CUT_BEFORE | typeof CUT_AFTER,
): Promise<boolean> {
  await using stack = new AsyncDisposableStack();
  const proxy = stack.use(await startRedisProxy(Number(new URL(own.url).port)));
  const victim = stack.use(await startIntake(proxy.url, prefix));
  lead(other);
  const client = {
    acme: await openAcmeClient({ directoryUrl: `${url}/directory`, retries: true }),
  } as Client;
  const before = [await countJobs(), await countAccounts()] as const;
  const names = Object.keys(steps);
  await takeSteps(client, names.slice(0, names.indexOf(name)));
  let seen = 0;
  let dead: Promise<void> | undefined;
  proxy.refuse = ({ name: command }) => {
    if (dead) return CUT_BEFORE;
    if (background.includes(command) || ++seen < nth) return undefined;
    lead(other);
    dead = victim[Symbol.asyncDispose]();
    return side;
  };
  lead(victim);
  await takeSteps(client, [name]);
  lead(other);
  await dead;
  await takeSteps(client, names.slice(names.indexOf(name) + 1));
  const made = [(await countJobs()) - before[0], (await countAccounts()) - before[1]];
  assert.deepEqual(made, [1, 1], `${name} ${nth}: one job and one account`);
  return dead !== undefined;
}

suite('an intake that dies while it works on', () => {
  for (const name of Object.keys(steps))
    test(`${name} costs the client a retry, at whichever command of Redis`, async () => {
      let deaths = 0;
      for (let nth = 1; ; nth++) {
        const died = [await dieIn(name, nth, CUT_BEFORE), await dieIn(name, nth, CUT_AFTER)];
        if (died.includes(false)) break;
        deaths += 2;
      }
      assert.ok(deaths >= 2, `${deaths} deaths`);
    });
});
