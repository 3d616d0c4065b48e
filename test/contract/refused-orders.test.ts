import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CUT_AFTER, CUT_BEFORE, type Refusal, type SentCommand } from '../support/redis-proxy.ts';
import { type Outcome, openOrders } from './refused-orders.ts';

// Whatever Redis answers in the middle of an order, the order goes on when that is over, once: each command
// of one order is refused in turn, and the connection cut before it and behind it. With
// QUARRY_TEST_REFUSALS=all each is refused with each error, which takes a minute; else each with one of them.

const refusals: Refusal[] = [
  "OOM command not allowed when used memory > 'maxmemory'.",
  'MISCONF Errors writing to the AOF file: No space left on device',
  CUT_AFTER,
  'NOREPLICAS Not enough good replicas to write.',
  "READONLY You can't write against a read only replica.",
  'LOADING Redis is loading the dataset in memory',
  CUT_BEFORE,
  'CLUSTERDOWN The cluster is down',
  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  'TRYAGAIN Multiple keys request during rehashing of slot',
  'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.',
  "NOPERM this user has no permissions to run the 'set' command",
  'NOSCRIPT No matching script. Please use EVAL.',
];
const all = process.env.QUARRY_TEST_REFUSALS === 'all';
/** Orders that are driven side by side. */
const AT_ONCE = 8;

const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const orders = await openOrders(stack, all ? 600 : 60);

function assertOnce(outcome: Outcome, what: string): void {
  const { result, ordered, events, left } = outcome;
  assert.equal(result?.outcome, 'issued', what);
  assert.equal(ordered, 1, `${what}: orders at the CA`);
  assert.deepEqual(events, ['ordered', 'issued'], what);
  assert.deepEqual(left, [], `${what}: left of the job`);
}

async function eachOf<Case>(cases: Case[], run: (one: Case) => Promise<void>): Promise<void> {
  const waiting = [...cases];
  const next = async () => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) await run(one);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
}

/** NOSCRIPT is an answer to EVALSHA alone. */
const isMeant = (refusal: Refusal, { name }: SentCommand) =>
  typeof refusal === 'symbol' || !refusal.startsWith('NOSCRIPT') || name === 'evalsha';

test('each command of an order may be refused, and the order is made once and goes on', async t => {
  await orders.drive(); // Redis knows the scripts from now on
  const { commands } = await orders.drive();
  t.diagnostic(`${commands.length} commands`);
  const places = commands.map((command, at) => ({ at, name: command.name, command }));
  const cases = places.flatMap(({ at, command }) =>
    (all ? refusals : [refusals[at % refusals.length] ?? ''])
      .filter(refusal => isMeant(refusal, command))
      .map((refusal): { at: number; refusal: Refusal } => ({ at, refusal })),
  );
  await eachOf(cases, async ({ at, refusal }) => {
    const outcome = await orders.drive(place => (place === at ? refusal : undefined));
    const refused = outcome.commands[at];
    const what = `${String(refusal)} at ${at}, ${refused?.name} ${refused?.words.slice(0, 3)}`.slice(0, 200);
    assertOnce(outcome, what);
  });
});

test("the lock may run out while the order's URL cannot be written: it is written all the same", async () => {
  let isRefused = false;
  const outcome = await orders.drive((_, { words }, own) => {
    const lock = words.find(word => word.endsWith(':lock'));
    const isCheckpoint = words.some(word => word.includes(':checkpoint:'));
    if (isRefused || lock === undefined || !isCheckpoint) return undefined;
    isRefused = true;
    void own.del(lock);
    return refusals[0];
  });
  assertOnce(outcome, 'a lock that has run out');
});
