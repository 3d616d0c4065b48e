import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { openProfileGate } from '../../services/scheduler/profile-gate.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import { closeRedis, openRedis, type Redis } from '../../shared/base/redis.ts';
import { openBudget } from '../../shared/limits/budget.ts';
import { openLimits } from '../../shared/limits/limits.ts';
import type { NotifyEvent } from '../../shared/notify/message.ts';
import { quietLog } from '../support/quiet-log.ts';
import { type Redis as RedisServer, startRedis } from '../support/redis.ts';
import { turnedClock } from '../support/turned-clock.ts';

const hour = 3_600_000;
let server: RedisServer;
let redis: Redis;
let prefixes = 0;
before(async () => {
  server = await startRedis();
  redis = openRedis(server.url, 'patient', quietLog);
});
after(async () => {
  closeRedis(redis);
  await server[Symbol.asyncDispose]();
});

const order = (name: string) => ({
  account: 'account',
  identifiers: [{ type: 'dns' as const, value: name }],
});
const rateLimited = ({ code }: IssuanceError) => code === 'rateLimited';

/** A gate of a profile at a CA that allows two orders an hour, and one certificate an hour for a registered domain. */
function openGround() {
  const prefix = `{gate-${++prefixes}}`;
  const clock = turnedClock(1_780_000_000_000);
  const rates = { orders: { count: 2, period: hour }, certificatesPerDomain: { count: 1, period: hour } };
  const told: NotifyEvent[] = [];
  const limits = openLimits({ redis, prefix }, clock);
  const budget = openBudget({ redis, prefix }, rates, clock);
  const notices = { notify: async (event: NotifyEvent) => void told.push(event) };
  const open = () => openProfileGate('profile/web', { limits, budget, notices, clock });
  return { clock, told, limits, gate: open(), other: open() };
}

suite('the gate of a shaman profile', () => {
  test("counts orders for the CA's limits, over all gates, and says when there is room again", async () => {
    const { gate, other, clock } = openGround();
    await gate.before(order('a.example'));
    await other.before(order('b.example'));
    const short = await gate.before(order('c.example')).catch((error: unknown) => error);
    assert.ok(short instanceof IssuanceError && rateLimited(short));
    assert.equal(short.retryAfter, clock.now() + hour / 2);
    clock.turn(hour / 2);
    await gate.before(order('c.example'));
  });

  test('counts certificates for the registered domain once they are issued, and gives back what failed', async () => {
    const { gate, clock } = openGround();
    await gate.before(order('www.a.example'));
    await gate.failed(order('www.a.example'), new Error('it failed'));
    await gate.before(order('www.a.example'));
    await gate.issued(order('www.a.example'));
    clock.turn(hour / 2);
    await assert.rejects(gate.before(order('mail.a.example')), /domain\/a\.example is used up/);
  });

  test('lets a renewal that names what it replaces pass, as the CA counts it for nothing', async () => {
    const { gate } = openGround();
    for (let time = 0; time < 5; time++) {
      await gate.before({ ...order('www.a.example'), replaces: 'aki.serial' });
      await gate.issued(order('www.a.example'));
    }
    await gate.before(order('www.a.example'));
  });

  test('remembers for the fleet what the CA refused, and tells what only a person can end', async () => {
    const { gate, other, limits, told } = openGround();
    const problem = {
      type: 'urn:ietf:params:acme:error:rateLimited',
      detail: 'paused, see https://ca.example/portal',
    };
    const paused = new IssuanceError('rateLimited', 'paused', { problem });
    assert.equal(await gate.failed(order('a.example'), paused), paused);
    await assert.rejects(other.before(order('a.example')), rateLimited);
    assert.equal((await limits.list()).length, 1);
    assert.deepEqual(
      told.map(({ kind, names }) => [kind, names]),
      [['account-paused', ['a.example']]],
    );
  });
});
