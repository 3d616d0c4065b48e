import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type Log, systemClock } from '../../../shared/base/basics.ts';
import type { Redis } from '../../../shared/base/redis.ts';
import { openRedisClock } from '../../../shared/base/redis-clock.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const start = Date.UTC(2027, 0, 1);

/**
 * A Redis and this machine, each with a clock of its own. @param shift by how much this machine's is ahead at
 * the start
 */
function open(t: TestContext, shift: number, status = 'ready') {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const world = { passed: 0, redis: start, local: start + shift, trip: 2, back: 0, refusal: '' };
  const pass = (ms: number) => {
    for (const clock of ['passed', 'redis', 'local'] as const) world[clock] += ms;
  };
  const redis = Object.assign(new EventEmitter(), {
    status,
    async time() {
      if (world.refusal) throw Object.assign(new Error(world.refusal), { name: 'ReplyError' });
      pass(world.trip / 2);
      const time = world.redis;
      pass(world.trip / 2 + world.back);
      return [String(Math.floor(time / SECOND)), String(Math.round((time % SECOND) * SECOND))];
    },
  });
  const said: string[] = [];
  const note = (text: string) => void said.push(text);
  const own = { local: { ...systemClock, now: () => world.local }, elapsed: () => world.passed };
  const clock = openRedisClock(redis as unknown as Redis, { warn: note, info: note } as unknown as Log, own);
  t.after(() => clock[Symbol.dispose]());
  /** Lets time pass, and the clock do what it does meanwhile. */
  async function live(ms: number) {
    pass(ms);
    t.mock.timers.tick(ms);
    for (let count = 0; count < 20; count++) await turn();
  }
  return { world, redis, clock, said, live };
}

test('a process whose own clock is wrong goes by that of Redis', async t => {
  for (const shift of [2 * HOUR, -2 * HOUR, 400 * DAY]) {
    const { world, clock, live } = open(t, shift);
    assert.equal(clock.ahead(), undefined);
    await live(0);
    assert.equal(clock.now(), world.redis);
    assert.equal(clock.ahead(), shift);
    await live(3 * HOUR);
    assert.equal(clock.now(), world.redis);
    t.mock.timers.reset();
  }
});

test('until Redis has told its time, the time is that of this machine', async t => {
  const { world, redis, clock, live } = open(t, HOUR, 'connecting');
  await live(MINUTE);
  assert.equal(clock.now(), world.local);
  assert.deepEqual(clock.notes(), []);
  const told = clock.untilTold(new AbortController().signal);
  redis.status = 'ready';
  redis.emit('ready');
  await told;
  assert.equal(clock.now(), world.redis);
});

test('waiting for the time ends with its signal', async t => {
  const { clock } = open(t, 0, 'connecting');
  const stop = new AbortController();
  const waiting = clock.untilTold(stop.signal);
  stop.abort(new Error('stopping'));
  await assert.rejects(waiting, /^Error: stopping$/);
});

test('a clock of this machine that is set changes nothing, and is found out within seconds', async t => {
  const { world, clock, said, live } = open(t, 0);
  await live(0);
  world.local -= 3 * HOUR;
  assert.equal(clock.now(), world.redis);
  await live(5 * SECOND);
  assert.equal(clock.now(), world.redis);
  assert.deepEqual(said, ["this machine's clock is 3 h behind Redis's"]);
  world.local += 3 * HOUR;
  await live(5 * SECOND);
  assert.deepEqual(said.slice(1), ["this machine's clock and Redis's agree again"]);
});

test('what this machine has slept through is made up for within seconds', async t => {
  const { world, clock, live } = open(t, 0);
  await live(0);
  for (const other of ['redis', 'local'] as const) world[other] += 8 * HOUR;
  await live(5 * SECOND);
  assert.equal(clock.now(), world.redis);
});

test('a clock of Redis that is set is followed within a minute, and at once on a new connection', async t => {
  const { world, redis, clock, live } = open(t, 0);
  await live(0);
  world.redis += HOUR;
  await live(MINUTE);
  assert.equal(clock.now(), world.redis);
  world.redis -= 2 * HOUR; // as after a fail-over
  redis.emit('ready');
  await live(0);
  assert.equal(clock.now(), world.redis);
});

test('an operator reads of a difference of over a minute', async t => {
  for (const [shift, note] of [
    [MINUTE, undefined],
    [-MINUTE, undefined],
    [2 * HOUR + 3 * MINUTE, "this machine's clock is 2 h 3 min ahead of Redis's"],
    [-90 * SECOND, "this machine's clock is 2 min behind Redis's"],
    [400 * DAY + 7 * MINUTE, "this machine's clock is 400 d ahead of Redis's"],
  ] as const) {
    const { clock, said, live } = open(t, shift);
    await live(0);
    await live(3 * MINUTE);
    const notes = note === undefined ? [] : [note];
    assert.deepEqual([clock.notes(), said], [notes, notes]);
    t.mock.timers.reset();
  }
});

test("where Redis's clock cannot be right, that of this machine counts, unless it cannot be right either", async t => {
  const { world, clock, live } = open(t, 0);
  world.redis = Date.UTC(1970, 0, 2);
  await live(0);
  assert.equal(clock.now(), world.local);
  assert.match(clock.notes().join(), /^Redis's clock cannot be right: it shows 1970-01-02T/);
  world.local = Date.UTC(1970, 5, 1);
  await live(MINUTE);
  assert.equal(clock.now(), world.redis);
  world.redis = start;
  await live(MINUTE);
  assert.equal(clock.now(), world.redis);
});

test('nobody begins while neither clock can be right, as on a machine without a battery', async t => {
  const { world, clock, live } = open(t, 0);
  world.redis = world.local = 20 * MINUTE;
  let begun = false;
  const beginning = clock.untilTold(new AbortController().signal).then(() => {
    begun = true;
  });
  await live(5 * MINUTE);
  assert.equal(begun, false);
  world.redis = world.local = start;
  await live(5 * SECOND);
  await beginning;
  assert.equal(clock.now(), world.redis);
});

test('where Redis refuses to tell its time, nobody waits for it', async t => {
  const { world, clock, live } = open(t, HOUR);
  world.refusal = "NOPERM this user has no permissions to run the 'time' command";
  await live(0);
  await clock.untilTold(AbortSignal.timeout(60_000));
  assert.equal(clock.now(), world.local);
  assert.match(clock.notes().join(), /^Redis does not tell its time.*'time' command$/);
});

test('a slow answer that does not contradict what is known changes nothing', async t => {
  const { world, clock, live } = open(t, 0);
  await live(0);
  world.back = 10 * SECOND;
  await live(MINUTE);
  assert.equal(clock.now(), world.redis);
});
