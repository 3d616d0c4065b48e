import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTakeOnce } from '../../shared/admission/hmac2.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { freePort } from '../support/free-port.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startOwnRedis } from './own-redis.ts';

const { redis, connect, newStore } = await startOwnRedis();
const replayed = 'a request with this nonce came before: sign each request anew, with a nonce of its own';

/** A request's time by Redis's clock, and its nonce; each is a request of its own. */
async function request(later = 0, nonce = 'a-nonce-of-a-client') {
  const [now] = await redis.time();
  return { time: String(Number(now) + later), nonce };
}

test('a request is taken once, and a thousand times not again', async () => {
  const takeOnce = openTakeOnce(newStore());
  const first = await request();
  assert.equal(await takeOnce('key', first), undefined);
  const again = Array.from({ length: 1_000 }, () => takeOnce('key', { ...first }));
  assert.deepEqual(new Set(await Promise.all(again)), new Set([replayed]));
  assert.equal(await takeOnce('key', await request(0, 'another-of-a-client')), undefined);
});

test('a nonce is known at any other time, too', async () => {
  const takeOnce = openTakeOnce(newStore());
  assert.equal(await takeOnce('key', await request(-100)), undefined);
  for (const later of [-200, 0, 100]) assert.equal(await takeOnce('key', await request(later)), replayed);
});

test('clients with different keys may use the same nonce', async () => {
  const takeOnce = openTakeOnce(newStore());
  const one = await request();
  assert.equal(await takeOnce('key', one), undefined);
  assert.equal(await takeOnce('another', { ...one }), undefined);
});

test('several blocks that ask for the same request take it once together', async () => {
  const takeOnce = openTakeOnce(newStore());
  const one = await request();
  assert.deepEqual(await Promise.all([takeOnce('key', one), takeOnce('key', one)]), [undefined, undefined]);
  assert.equal(await takeOnce('key', { ...one }), replayed);
});

test('of a request that two intakes get at once, one is taken', async () => {
  const { prefix } = newStore();
  const intakes = [1, 2].map(() => openTakeOnce({ redis: connect(), prefix }));
  for (let at = 0; at < 100; at++) {
    const one = await request(0, `nonce-number-${1_000 + at}`);
    const answers = await Promise.all(intakes.map(takeOnce => takeOnce('key', { ...one })));
    assert.deepEqual(answers.sort(), [replayed, undefined]);
  }
});

test('clocks may be five minutes apart; beyond that the refusal says how far, which way, and the time', async () => {
  const takeOnce = openTakeOnce(newStore());
  // A second may go by between this look at Redis's clock and its own.
  for (const later of [-299, 299])
    assert.equal(await takeOnce('key', await request(later, `n${later}`)), undefined);
  for (const [later, said] of [
    [
      -400,
      /^the request's time is 40[0-9] seconds behind the server's clock, which says (.*); set the clock/,
    ],
    [
      400,
      /^the request's time is (?:400|39[0-9]) seconds ahead of the server's clock, which says (.*); set the clock/,
    ],
  ] as const) {
    const one = await request(later);
    const [, clock = ''] = said.exec((await takeOnce('key', one)) ?? '') ?? [];
    assert.match(clock, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const server = Date.parse(clock) / 1000;
    assert.ok(Math.abs(server - (Number(one.time) - later)) < 10, clock);
  }
  assert.equal(await redis.exists(`${newStore().prefix}:nonce:key:a-nonce-of-a-client`), 0);
});

test('a nonce stays known for longer than its request could be taken, and not for ever', async () => {
  const store = newStore();
  const takeOnce = openTakeOnce(store);
  for (const later of [-299, 0, 299]) {
    const nonce = `a-nonce-at-${later}`;
    await takeOnce('key', await request(later, nonce));
    const life = await redis.ttl(`${store.prefix}:nonce:key:${nonce}`);
    assert.ok(life > 300 + later && life <= 361 + later, `${life} s for ${later}`);
  }
});

test('no time that a header may name makes Redis stumble', async () => {
  const takeOnce = openTakeOnce(newStore());
  for (const time of ['0', '00000000000', '99999999999'])
    assert.match(
      (await takeOnce('key', { time, nonce: 'x'.repeat(64) })) ?? '',
      /a difference of 300 seconds is accepted$/,
    );
});

test('it costs one command of Redis', async t => {
  const takeOnce = openTakeOnce(newStore());
  await takeOnce('key', await request()); // Redis may not know the script yet
  const one = await request(0, 'a-nonce-to-be-counted');
  const { mock } = t.mock.method(redis, 'sendCommand');
  assert.equal(await takeOnce('key', one), undefined);
  assert.deepEqual(
    mock.calls.map(({ arguments: [command] }) => (command as { name: string }).name),
    ['evalsha'],
  );
});

test('while Redis is away no request is taken', async () => {
  const away = openRedis({ url: `redis://127.0.0.1:${await freePort()}` }, 'impatient', quietLog);
  const asked = openTakeOnce({ redis: away, prefix: '{away}' })('key', await request());
  await assert.rejects(asked, { code: 'unavailable', message: 'Redis cannot be reached' });
  closeRedis(away);
});
