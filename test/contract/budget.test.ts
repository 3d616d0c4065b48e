import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Identifier } from '../../shared/base/identifier.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { type Claim, openBudget } from '../../shared/limits/budget.ts';
import type { LimitScope } from '../../shared/limits/limits.ts';
import type { LimitsConfig } from '../../shared/limits/limits-section.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { turnedClock } from '../support/turned-clock.ts';

const server = await startRedis();
const redis = openRedis({ url: server.url }, 'patient', quietLog);
after(async () => {
  closeRedis(redis);
  await server[Symbol.asyncDispose]();
});

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let prefixes = 0;

const scope: LimitScope = { account: 'default', ca: 'ca.example' };

function budgetOf(limits: LimitsConfig) {
  const clock = turnedClock(Date.now()); // from the real time on, as Redis ends keys by its own clock
  const prefix = `{quarry-${++prefixes}}`;
  const budget = openBudget({ redis, prefix }, scope, limits, clock);
  let jobs = 0;
  const claimOf = (claim: Partial<Claim> = {}): Claim => {
    const id = claim.id ?? `job-${++jobs}`;
    return { id, what: `what of ${id}`, rank: clock.now(), patience: clock.now(), ...claim };
  };
  /** The same fleet by another account. */
  const takeAs = (other: LimitScope) => takerOf(openBudget({ redis, prefix }, other, limits, clock), claimOf);
  return { budget, clock, prefix, claimOf, take: takerOf(budget, claimOf), takeAs };
}

/** Answers what a job gets: `order`, `wait KEY MINUTES` or `refused KEY MINUTES`. */
const takerOf =
  ({ takeOrder }: ReturnType<typeof openBudget>, claimOf: (claim?: Partial<Claim>) => Claim) =>
  async (names: string | string[], claim?: Partial<Claim>) => {
    const whole = claimOf(claim);
    const shortage = await takeOrder(orderOf(names), whole);
    return shortage ? `${shortage.waits ? 'wait' : 'refused'} ${shortage.key}` : 'order';
  };

function orderOf(names: string | string[]): Identifier[] {
  return [names].flat().map(value => ({ type: 'dns', value }));
}

test('takeOrder() gives out as many orders at once as the limit has, then one as each token comes back', async () => {
  const { budget, clock, take, claimOf } = budgetOf({ orders: { count: 3, period: 3 * HOUR } });
  for (let count = 0; count < 3; count++) assert.equal(await take('a.example.org'), 'order');
  const shortage = await budget.takeOrder(orderOf('a.example.org'), claimOf());
  assert.deepEqual(shortage, { key: 'account/default', until: clock.now() + HOUR, waits: false });
  clock.turn(HOUR + 1);
  assert.equal(await take('a.example.org'), 'order');
  assert.equal(await take('a.example.org'), 'refused account/default');
});

test('takeOrder() never gives out more than the limit to many workers at once', async () => {
  const { take } = budgetOf({ orders: { count: 25, period: HOUR } });
  const taken = await Promise.all(Array.from({ length: 100 }, (_, index) => take(`h${index}.example.org`)));
  assert.equal(taken.filter(one => one === 'order').length, 25);
});

test('takeOrder() takes from no limit when one of them is used up', async () => {
  const { budget, take } = budgetOf({
    orders: { count: 2, period: HOUR },
    certificatesPerSet: { count: 1, period: 7 * DAY },
  });
  await budget.spendCertificate(orderOf('a.example.org'), { id: 'earlier' });
  for (let count = 0; count < 5; count++) assert.match(await take('a.example.org'), /^refused set\//);
  assert.equal(await take('b.example.org'), 'order');
  assert.equal(await take('c.example.org'), 'order');
});

test('takeOrder() keeps a block to its share, whatever it asks for, and leaves the rest to others', async () => {
  const { take } = budgetOf({ orders: { count: 10, period: HOUR } });
  const greedy = { share: { name: 'greedy', part: 0.2 } };
  for (let count = 0; count < 2; count++) assert.equal(await take('a.example.org', greedy), 'order');
  assert.equal(await take('a.example.org', greedy), 'refused share/greedy@default');
  for (let count = 0; count < 8; count++) assert.equal(await take('a.example.org'), 'order');
  assert.equal(await take('a.example.org'), 'refused account/default');
});

test('takeOrder() lets the blocks without a share not use up that of another one', async () => {
  const { take } = budgetOf({ orders: { count: 100, period: HOUR } });
  const [rest, small] = [{ share: { name: '*', part: 0.71 } }, { share: { name: 'small', part: 0.29 } }];
  for (let count = 0; count < 71; count++) assert.equal(await take('a.example.org', rest), 'order');
  assert.equal(await take('a.example.org', rest), 'refused share/*@default');
  for (let count = 0; count < 29; count++) assert.equal(await take('b.example.org', small), 'order');
  assert.equal(await take('b.example.org', small), 'refused share/small@default');
});

test('takeOrder() counts certificates for each registered domain: those that were issued, and those under way', async () => {
  const { budget, take } = budgetOf({ certificatesPerDomain: { count: 2, period: HOUR } });
  assert.equal(await take('a.example.org', { id: 'one' }), 'order');
  assert.equal(await take('b.example.org', { id: 'two' }), 'order');
  assert.equal(await take('c.example.org'), 'refused domain/example.org@ca.example');
  await budget.leave(orderOf('a.example.org'), { id: 'one' }); // it failed
  assert.equal(await take(['c.example.org', 'd.example.org'], { id: 'three' }), 'order');
  await budget.spendCertificate(orderOf('b.example.org'), { id: 'two' });
  await budget.spendCertificate(orderOf(['c.example.org', 'd.example.org']), { id: 'three' });
  assert.equal(await take('e.example.org'), 'refused domain/example.org@ca.example');
  assert.equal(await take('e.example.com'), 'order');
});

test('takeOrder() keeps a certificate for no longer than an order may take, as its worker may be dead', async () => {
  const { clock, take } = budgetOf({ certificatesPerDomain: { count: 1, period: 7 * DAY } });
  assert.equal(await take('a.example.org', { id: 'killed' }), 'order');
  assert.equal(await take('a.example.org', { id: 'killed' }), 'order', 'it keeps nothing from itself');
  clock.turn(64 * MINUTE);
  assert.equal(await take('b.example.org'), 'refused domain/example.org@ca.example');
  clock.turn(2 * MINUTE);
  assert.equal(await take('b.example.org'), 'order');
});

test('takeOrder() counts the failed authorizations of each name', async () => {
  const { budget, clock, take, claimOf } = budgetOf({ failedAuthorizations: { count: 2, period: HOUR } });
  await budget.spendFailures(['a.example.org']);
  await budget.spendFailures(['a.example.org']);
  const shortage = await budget.takeOrder(orderOf(['a.example.org', 'b.example.org']), claimOf());
  assert.deepEqual(shortage, {
    key: 'name/a.example.org@ca.example',
    until: clock.now() + HOUR / 2,
    waits: false,
  });
  assert.equal(await take('b.example.org'), 'order');
});

test('takeOrder() counts nothing for a CA without known limits', async () => {
  const { prefix, take } = budgetOf({});
  for (let count = 0; count < 5; count++) assert.equal(await take('a.example.org'), 'order');
  assert.deepEqual(await redis.keys(`${prefix}:*`), []);
});

/** Of a bucket of one token, which comes back every ten minutes, and is taken. */
async function shortBudget() {
  const short = budgetOf({ orders: { count: 1, period: 10 * MINUTE } });
  const start = short.clock.now();
  assert.equal(await short.take('first.example.org'), 'order');
  /** One that waits for as long as it takes; `rank` is in minutes from the start. */
  const waiting = (id: string, rank: number) => ({ id, rank: start + rank * MINUTE, patience: start + DAY });
  const turnOf = async (id: string, rank: number, patience = start + DAY) => {
    const shortage = await short.budget.takeOrder(
      orderOf(`${id}.example.org`),
      short.claimOf({ ...waiting(id, rank), patience }),
    );
    return (
      shortage && `${shortage.waits ? 'waits' : 'refused'} ${Math.round((shortage.until - start) / MINUTE)}`
    );
  };
  return { ...short, turnOf };
}

test('takeOrder() gives each a turn of its own when budget is short: first what ended, then posts as they came, then what ends first', async () => {
  const { clock, turnOf } = await shortBudget();
  const ranks = { soon: 3 * 24 * 60, late: 9 * 24 * 60, post: 0, later: 1, ended: -60 };
  assert.equal(await turnOf('late', ranks.late), 'waits 10');
  assert.equal(await turnOf('soon', ranks.soon), 'waits 10');
  assert.equal(await turnOf('post', ranks.post), 'waits 10');
  assert.equal(await turnOf('later', ranks.later), 'waits 20');
  assert.equal(await turnOf('ended', ranks.ended), 'waits 10');
  const order: string[] = [];
  for (let minutes = 10; minutes <= 50; minutes += 10) {
    clock.turn(10 * MINUTE);
    const left = Object.entries(ranks).filter(([id]) => !order.includes(id));
    for (const [id, rank] of left) if ((await turnOf(id, rank)) === undefined) order.push(id);
  }
  assert.deepEqual(order, ['ended', 'post', 'later', 'soon', 'late']);
});

test('takeOrder() tells one that is out of patience its turn, and keeps no place for it, but its rank', async () => {
  const { clock, take, claimOf, turnOf } = await shortBudget();
  assert.equal(await turnOf('waiting', 0), 'waits 10');
  const away = claimOf({ id: 'away', what: 'the same', rank: clock.now() + 1 });
  assert.equal(await take('away.example.org', away), 'refused account/default');
  assert.equal(await turnOf('impatient', 2, clock.now()), 'refused 20');
  assert.equal(await turnOf('newer', 5), 'waits 20', 'behind nobody but the one that waits');
  clock.turn(10 * MINUTE);
  assert.equal(await turnOf('waiting', 0), undefined);
  clock.turn(10 * MINUTE);
  // As posted anew, by another job, and much later than the newer one.
  assert.equal(await take('away.example.org', { ...away, id: 'back', rank: clock.now() }), 'order');
  assert.equal(await turnOf('newer', 5), 'waits 30');
});

test('takeOrder() counts nobody who was killed or given up', async () => {
  const { budget, clock, turnOf } = await shortBudget();
  assert.equal(await turnOf('given-up', 0), 'waits 10');
  assert.equal(await turnOf('killed', 1), 'waits 20');
  assert.equal(await turnOf('post', 2), 'waits 30');
  await budget.leave(orderOf('given-up.example.org'), { id: 'given-up' });
  assert.equal(await turnOf('post', 2), 'waits 20');
  clock.turn(10 * MINUTE);
  assert.equal(await turnOf('post', 2), 'waits 20');
  clock.turn(11 * MINUTE);
  assert.equal(
    await turnOf('post', 2),
    undefined,
    'the place of the killed one lapsed, a minute after its turn',
  );
});

test('takeOrder() has a job wait for one limit alone, so that it keeps from nobody what it cannot use yet', async () => {
  const { budget, clock, take } = budgetOf({
    orders: { count: 1, period: 10 * MINUTE },
    certificatesPerDomain: { count: 1, period: DAY },
  });
  await budget.spendCertificate(orderOf('a.example.org'), { id: 'earlier' });
  const patience = clock.now() + 2 * DAY;
  assert.equal(await take('a.example.com'), 'order');
  assert.equal(await take('b.example.org', { id: 'b', patience }), 'wait domain/example.org@ca.example');
  clock.turn(10 * MINUTE);
  assert.equal(await take('b.example.net', { rank: clock.now() + DAY }), 'order');
  clock.turn(DAY);
  assert.equal(await take('b.example.org', { id: 'b', patience }), 'order');
});

test('takeOrder() has each block wait for its own share, and none for that of another', async () => {
  const { clock, take } = budgetOf({ orders: { count: 10, period: 10 * MINUTE } });
  const patience = clock.now() + HOUR;
  const greedy = { share: { name: 'greedy', part: 0.2 }, patience };
  for (let count = 0; count < 2; count++) assert.equal(await take('a.example.org', greedy), 'order');
  for (let count = 0; count < 20; count++)
    assert.equal(await take('a.example.org', greedy), 'wait share/greedy@default');
  for (let count = 0; count < 8; count++) assert.equal(await take('b.example.org'), 'order');
});

test('takeOrder() gives a block that is slowed down an order a minute, in the order of the first asking, and no other block waits', async () => {
  const { clock, take, claimOf } = budgetOf({});
  const slow = { block: 'web', failures: 0 };
  assert.equal(await take('bad1.example.org', { slow }), 'order');
  const good = claimOf({ id: 'good', slow });
  assert.equal(await take('good.example.org', good), 'refused slow/web');
  clock.turn(1_000);
  const flood = async () => {
    for (let count = 0; count < 50; count++) await take('bad.example.org', { slow });
  };
  const waiting = claimOf({ id: 'waiting', slow, patience: clock.now() + 2 * MINUTE });
  assert.equal(await take('bad2.example.org', waiting), 'wait slow/web');
  await flood();
  assert.equal(await take('a.example.org'), 'order');
  assert.equal(await take('a.example.org', { slow: { block: 'mail', failures: 0 } }), 'order');
  clock.turn(MINUTE);
  // As posted anew, by another job: it was there before all of them.
  assert.equal(await take('good.example.org', { ...good, id: 'back', rank: clock.now() }), 'order');
});

test('takeOrder() lets what a client has failed stand behind all that other clients of a slow block ask for', async () => {
  const { clock, take, claimOf } = budgetOf({});
  const [good, bad] = [
    { block: 'web', failures: 0 },
    { block: 'web', failures: 3 },
  ];
  assert.equal(await take('x.example.org', { slow: bad }), 'order');
  const away = Array.from({ length: 5 }, (_, at) => claimOf({ id: `bad${at}`, slow: bad }));
  for (const one of away) assert.equal(await take('bad.example.org', one), 'refused slow/web');
  clock.turn(1_000);
  const patience = clock.now() + 2 * MINUTE;
  const [first, second] = [
    claimOf({ id: 'first', slow: bad, patience }),
    claimOf({ id: 'second', slow: bad, patience }),
  ];
  for (const one of [first, second]) assert.equal(await take('bad.example.org', one), 'wait slow/web');
  clock.turn(1_000);
  const host = claimOf({ id: 'host', slow: good, patience });
  assert.equal(await take('good.example.org', host), 'wait slow/web');
  clock.turn(MINUTE);
  for (const one of [...away, first, second])
    assert.match(await take('bad.example.org', one), /slow\/web/, 'though it was there before');
  assert.equal(await take('good.example.org', host), 'order');
});

test('takeOrder() divides the certificates of a registered domain, and one share cannot use up the rest', async () => {
  const { budget, take, claimOf } = budgetOf({ certificatesPerDomain: { count: 10, period: HOUR } });
  const greedy = { share: { name: 'greedy', domains: new Map([['example.org', 0.2]]) } };
  const rest = { share: { name: '*', domains: new Map([['example.org', 0.8]]) } };
  assert.equal(await take('a.example.org', greedy), 'order');
  await budget.spendCertificate(orderOf('b.example.org'), claimOf(greedy));
  const used = 'refused share/greedy/domain/example.org@ca.example';
  for (let count = 0; count < 20; count++) assert.equal(await take('c.example.org', greedy), used);
  assert.equal(await take(['a.example.com', 'c.example.org'], greedy), used);
  assert.equal(await take('a.example.com', greedy), 'order', 'which nobody else can have');
  for (let count = 0; count < 8; count++) assert.equal(await take('d.example.org', rest), 'order');
  assert.match(await take('d.example.org', rest), /^refused (share\/\*\/)?domain\/example\.org@/);
});

test('takeOrder() gives a share one certificate of a registered domain at least', async () => {
  const { take } = budgetOf({ certificatesPerDomain: { count: 3, period: HOUR } });
  const small = { share: { name: 'small', domains: new Map([['example.org', 0.01]]) } };
  assert.equal(await take('a.example.org', small), 'order');
  assert.equal(await take('a.example.org', small), 'refused share/small/domain/example.org@ca.example');
});

test('takeOrder() leaves each share that may have a set one certificate of it, whatever the others use up', async () => {
  for (const [count, rivalsForSet, most] of [
    [5, 1, 4],
    [5, 2, 2],
    [5, 4, 1],
    [5, 9, 1],
    [1, 1, 1],
  ] as const) {
    const { take } = budgetOf({ certificatesPerSet: { count, period: HOUR } });
    const claimOf = (name: string) => ({ share: { name, rivalsForSet } });
    let taken = 0;
    while ((await take('a.example.org', claimOf('one'))) === 'order') taken++;
    assert.equal(taken, most, `${count} for ${rivalsForSet + 1}`);
    if (count > 1) assert.equal(await take('a.example.org', claimOf('other')), 'order');
  }
});

test('leave() gives back what was kept of shares, too', async () => {
  const { budget, prefix, claimOf } = budgetOf({
    certificatesPerDomain: { count: 10, period: HOUR },
    certificatesPerSet: { count: 5, period: HOUR },
  });
  const domains = new Map([['example.org', 0.1]]);
  const claim = claimOf({ share: { name: 'web', domains, rivalsForSet: 1 } });
  assert.equal(await budget.takeOrder(orderOf('a.example.org'), claim), undefined);
  assert.equal((await redis.keys(`${prefix}:budget:places/share/web/*`)).length, 2);
  await budget.leave(orderOf('a.example.org'), claim);
  assert.deepEqual(await redis.keys(`${prefix}:budget:*`), []);
});

test('takeOrder() leaves nothing in Redis of places and orders that are over', async () => {
  const { budget, prefix, clock, take, claimOf } = budgetOf({
    orders: { count: 1, period: 10 * MINUTE },
    certificatesPerDomain: { count: 1, period: DAY },
  });
  const [order, claim] = [orderOf('a.example.org'), claimOf({ id: 'one' })];
  assert.equal(await budget.takeOrder(order, claim), undefined);
  assert.equal(
    await take('a.example.com', { id: 'two', patience: clock.now() + DAY }),
    'wait account/default',
  );
  const lists = async () =>
    (await redis.keys(`${prefix}:budget:*`)).filter(key => /places|lapses|since/.test(key));
  for (const key of await lists()) assert.ok((await redis.pttl(key)) > 0, key);
  await budget.leave(order, claim);
  await budget.leave(orderOf('a.example.com'), claimOf({ id: 'two' }));
  assert.deepEqual(await lists(), []);
});

test('two accounts at one CA share its limits for domains, sets and names, and not those of an account', async () => {
  const { budget, take, takeAs } = budgetOf({
    orders: { count: 3, period: HOUR },
    certificatesPerDomain: { count: 2, period: DAY },
    certificatesPerSet: { count: 1, period: DAY },
    failedAuthorizations: { count: 1, period: DAY },
  });
  const second = takeAs({ ...scope, account: 'second' });
  await budget.spendFailures(['a.example.net']);
  assert.equal(await second('a.example.net'), 'refused name/a.example.net@ca.example');
  await budget.spendCertificate(orderOf('a.example.org'), { id: 'earlier' });
  assert.match(await second('a.example.org'), /^refused set\/[0-9a-f]{16}@ca\.example$/);
  assert.equal(await take('b.example.org'), 'order');
  assert.equal(await second('c.example.org'), 'refused domain/example.org@ca.example');

  assert.equal(await take('a.example.com'), 'order');
  assert.equal(await take('b.example.com'), 'order');
  assert.equal(await take('a.example.info'), 'refused account/default');
  for (let count = 0; count < 3; count++)
    assert.equal(await second(`h${count}.example${count}.org`), 'order');
  assert.equal(await second('a.example.info'), 'refused account/second');
});

test('two CAs share no limit, and an account has the share of each of them', async () => {
  const { budget, take, takeAs } = budgetOf({
    orders: { count: 4, period: HOUR },
    certificatesPerDomain: { count: 1, period: DAY },
    certificatesPerSet: { count: 1, period: DAY },
    failedAuthorizations: { count: 1, period: DAY },
  });
  const elsewhere = takeAs({ account: 'second', ca: 'other.example' });
  const share = { share: { name: 'half', part: 0.5 } };
  await budget.spendFailures(['a.example.org']);
  await budget.spendCertificate(orderOf('a.example.org'), { id: 'earlier' });
  assert.match(await take('a.example.org'), /^refused .*@ca\.example$/);
  assert.equal(await elsewhere('a.example.org', share), 'order');
  assert.equal(await elsewhere('a.example.com', share), 'order');
  assert.equal(await elsewhere('a.example.net', share), 'refused share/half@second');
  for (const name of ['b.example.com', 'b.example.net']) assert.equal(await take(name, share), 'order');
  assert.equal(await take('b.example.info', share), 'refused share/half@default');
});

test('a job that is sent away keeps its rank at the account where it was, and has none at another', async () => {
  const { clock, take, takeAs, claimOf } = budgetOf({ orders: { count: 1, period: 10 * MINUTE } });
  const second = takeAs({ account: 'second', ca: 'other.example' });
  for (const at of [take, second]) assert.equal(await at('first.example.org'), 'order');
  const away = claimOf({ id: 'away', what: 'the same' });
  assert.equal(await take('away.example.org', away), 'refused account/default');
  clock.turn(MINUTE);
  const newer = claimOf({ id: 'newer', patience: clock.now() + DAY });
  for (const [at, account] of [
    [take, 'default'],
    [second, 'second'],
  ] as const)
    assert.equal(await at('newer.example.org', newer), `wait account/${account}`);
  clock.turn(9 * MINUTE);
  const back = { ...away, id: 'back', rank: clock.now() };
  assert.equal(await second('away.example.org', back), 'refused account/second');
  assert.equal(await take('away.example.org', back), 'order');
});

test('ordersLeft() tells how many orders the account may make now, and nothing where they are not counted', async () => {
  const rate = { count: 3, period: 3 * HOUR };
  const { budget, clock, take, takeAs } = budgetOf({ orders: rate });
  assert.deepEqual(await budget.ordersLeft(), { left: 3, rate });
  for (const left of [2, 1, 0]) {
    assert.equal(await take('a.example.org'), 'order');
    assert.deepEqual(await budget.ordersLeft(), { left, rate });
  }
  assert.equal(await take('a.example.org'), 'refused account/default');
  assert.deepEqual(await budget.ordersLeft(), { left: 0, rate });
  clock.turn(HOUR - 1);
  assert.deepEqual(await budget.ordersLeft(), { left: 0, rate });
  clock.turn(1);
  assert.deepEqual(await budget.ordersLeft(), { left: 1, rate });
  assert.equal(await take('a.example.org'), 'order');
  assert.deepEqual(await budget.ordersLeft(), { left: 0, rate });
  clock.turn(DAY);
  assert.deepEqual(await budget.ordersLeft(), { left: 3, rate });

  assert.equal(await takeAs({ account: 'second', ca: 'ca.example' })('a.example.org'), 'order');
  assert.deepEqual(await budget.ordersLeft(), { left: 3, rate });
  assert.equal(await budgetOf({}).budget.ordersLeft(), undefined);
});

test('a budget of which nothing is counted asks Redis nothing', async () => {
  const budget = openBudget({ redis: {} as never, prefix: '{none}' }, scope, {}, turnedClock(0));
  const [order, claim] = [orderOf('a.example.org'), { id: 'job', what: 'x', rank: 0, patience: 0 }];
  assert.equal(await budget.takeOrder(order, claim), undefined);
  await budget.spendCertificate(order, claim);
  await budget.spendFailures(['a.example.org']);
  await budget.leave(order, claim);
  assert.equal(await budget.ordersLeft(), undefined);
});

test('spendCertificate() ends the place of a job whose order an earlier one has made', async () => {
  const { budget, prefix, take, claimOf, clock } = budgetOf({
    orders: { count: 1, period: HOUR },
    certificatesPerDomain: { count: 5, period: DAY },
  });
  assert.equal(budget.countsCertificates, true);
  assert.equal(await take('a.example.org'), 'order');
  const claim = claimOf({ patience: clock.now() + 2 * HOUR });
  assert.equal(await take('b.example.org', claim), 'wait account/default');
  const places = `${prefix}:budget:places/account/default`;
  assert.equal(await redis.zcard(places), 1);
  await budget.spendCertificate(orderOf('b.example.org'), claim);
  assert.equal(await redis.exists(places), 0);
});

test('no limit counts certificates where only orders and failures are limited', () => {
  const { budget } = budgetOf({
    orders: { count: 1, period: HOUR },
    failedAuthorizations: { count: 5, period: HOUR },
  });
  assert.equal(budget.countsCertificates, false);
});
