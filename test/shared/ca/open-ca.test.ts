import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeError, IssuanceError } from '../../../shared/base/errors.ts';
import { type AccountState, accountOf, holdAccount } from '../../../shared/ca/account-holder.ts';
import type { AccountConfig } from '../../../shared/ca/account-section.ts';
import { openAccounts, openCas } from '../../../shared/ca/open-ca.ts';
import { keptLog } from '../../support/kept-log.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { acmeError, type CaAnswer, type FakeCa, problem, startFakeCa } from '../acme/fake-ca.ts';
import { never } from '../acme/open-connection.ts';

/** No limit and no breaker is asked here, and how the accounts are is written to nowhere. */
const store = { redis: { eval: async () => 0 } as never, prefix: '{quarry}' };
const start = 1_000_000;

/** Two accounts, each at a CA of its own; `clock` does not wait. */
async function startCas(
  more: { log?: typeof quietLog; second?: Partial<AccountConfig>; redis?: never } = {},
) {
  await using stack = new AsyncDisposableStack();
  const [one, other] = [stack.use(await startFakeCa()), stack.use(await startFakeCa())];
  const { path } = stack.use(await tempDir());
  const configOf = (name: string, ca: FakeCa): AccountConfig => ({
    name,
    acmeServer: ca.directoryUrl,
    termsOfService: true,
    dir: join(path, name),
    contact: [],
    limits: {},
  });
  const parts = { clock: turnedClock(start), log: more.log ?? quietLog };
  const configs = [configOf('first', one), { ...configOf('second', other), ...more.second }];
  const cas = stack.use(await openCas(configs, { ...store, redis: more.redis ?? store.redis }, parts));
  const [first, second] = [...cas.values()];
  if (!first || !second) throw new Error('an account is missing');
  const stopping = new AbortController();
  stack.defer(() => stopping.abort(new Error('the test is over')));
  const moved = stack.move();
  return {
    fakes: { first: one, second: other },
    cas,
    first,
    second,
    parts,
    signal: stopping.signal,
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

const accountPosts = ({ requests }: FakeCa) =>
  requests.filter(({ path }) => path === '/new-account').map(({ payload }) => payload);
const notRefused = () => assert.fail('no account is refused here');
const away = () => problem(503, 'serverInternal', 'down for maintenance');

test('openCas() opens each account at its own CA, asks none of them anything, and has no account yet', async () => {
  await using ready = await startCas();
  const { cas, first, second, fakes } = ready;
  assert.deepEqual([...cas.keys()], ['first', 'second']);
  assert.deepEqual(
    [first.directoryUrl, second.directoryUrl],
    [fakes.first.directoryUrl, fakes.second.directoryUrl],
  );
  for (const { account } of cas.values()) {
    assert.throws(() => accountOf(account), { code: 'unavailable', message: 'the account is not open yet' });
    assert.equal(describeError(account.fault), 'the account is not open yet');
  }
  assert.deepEqual([fakes.first.requests, fakes.second.requests], [[], []]);
});

test('what is written of an open account says what its CA is called in CAA records', async () => {
  const written: string[] = [];
  const redis = { evalsha: async (...args: string[]) => written.push(args.slice(-2).join(' ')) } as never;
  await using ready = await startCas({ redis });
  const { first, second, fakes, signal } = ready;
  fakes.first.meta = { caaIdentities: ['ca.example', 'other.example'] };
  await Promise.all([first.account.open(signal), second.account.open(signal)]);
  assert.deepEqual(written.sort(), [
    `first ${JSON.stringify({ url: first.account.current?.url, issuers: ['ca.example', 'other.example'] })}`,
    `second ${JSON.stringify({ url: second.account.current?.url })}`,
  ]);
});

test('openAccounts() waits for one account, and a CA that is away holds up no other and is tried on', async () => {
  const { log, lines } = keptLog('warn');
  await using ready = await startCas({ log });
  const { cas, first, second, fakes, parts, signal } = ready;
  let tries = 0;
  const isAway = Promise.withResolvers<void>();
  fakes.first.on('/new-account', () => {
    if (++tries > 8) isAway.resolve();
    return away();
  });
  await openAccounts(cas.values(), parts, signal, notRefused);
  assert.equal(second.account.current?.url, `${fakes.second.url}/account/1`);
  assert.equal(second.account.fault, undefined);
  await isAway.promise;
  assert.throws(() => accountOf(first.account), { code: 'unavailable' });
  assert.match(describeError(first.account.fault), /down for maintenance/);
  assert.deepEqual(parts.clock.sleeps.slice(0, 8), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  assert.equal(lines.filter(({ msg }) => msg === 'no account yet, trying again').length, 1);
});

test('openAccounts() opens the account of a CA that was away once it is back, and not before it wants to be asked', async () => {
  await using ready = await startCas();
  const { cas, first, fakes, parts, signal } = ready;
  let tries = 0;
  const url = `${fakes.first.url}/account/1`;
  fakes.first.on('/new-account', (): CaAnswer => {
    const body = { type: acmeError('rateLimited') };
    if (++tries < 3) return { status: 429, headers: { 'Retry-After': '90' }, body };
    return { headers: { Location: url }, body: { status: 'valid' } };
  });
  await openAccounts([first], parts, signal, notRefused);
  assert.equal(first.account.current?.url, url);
  assert.equal(first.account.fault, undefined);
  assert.deepEqual(parts.clock.sleeps, [90_000, 90_000]);
  assert.equal(describeError(cas.get('second')?.account.fault), 'the account is not open yet');
});

test('openAccounts() tells of an account that is refused, and opens the others', async () => {
  await using ready = await startCas({ second: { termsOfService: false } });
  const { cas, first, second, fakes, parts, signal } = ready;
  fakes.second.meta = { termsOfService: 'https://ca.example/terms' };
  const refused: [string, string][] = [];
  await openAccounts(cas.values(), parts, signal, ({ name }, error) => {
    refused.push([name, (error as Error).message]);
  });
  await waitUntil('the other account to be refused', () => refused.length > 0);
  assert.equal(first.account.current?.url, `${fakes.first.url}/account/1`);
  assert.equal(refused.length, 1);
  assert.equal(refused[0]?.[0], 'second');
  assert.match(refused[0]?.[1] ?? '', /^the CA's terms of service are not accepted/);
  assert.throws(() => accountOf(second.account), { code: 'misconfigured' });
  assert.equal(describeError(second.account.fault), refused[0]?.[1]);
  assert.equal(fakes.second.accounts.size, 0);
  assert.deepEqual(parts.clock.sleeps, []);
});

test('openAccounts() rejects with what is wrong with the first account where none is of any use', async () => {
  await using ready = await startCas({ second: { termsOfService: false } });
  const { cas, fakes, parts, signal } = ready;
  fakes.first.meta = { externalAccountRequired: true };
  fakes.second.meta = { termsOfService: 'https://ca.example/terms' };
  const refused: string[] = [];
  const opening = openAccounts(cas.values(), parts, signal, ({ name }) => void refused.push(name));
  await assert.rejects(opening, { code: 'misconfigured', message: /external account binding/ });
  assert.deepEqual(refused.sort(), ['first', 'second']);
});

test('openAccounts() ends with the reason of its signal, and calls no account refused for that', async () => {
  await using ready = await startCas();
  const { cas, fakes, parts } = ready;
  const [controller, reason] = [new AbortController(), new Error('the worker has stopped')];
  const asked = Promise.withResolvers<void>();
  for (const fake of Object.values(fakes)) {
    fake.on('/dir', () => {
      asked.resolve();
      return undefined;
    });
  }
  const opening = openAccounts(cas.values(), parts, controller.signal, notRefused);
  await asked.promise;
  controller.abort(reason);
  await assert.rejects(opening, error => error === reason);
});

/** The CA's answers to newAccount, held back until `release` is called. */
function holdBack(fake: FakeCa, answer: () => ReturnType<typeof away>) {
  const [asked, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  fake.on('/new-account', async () => {
    asked.resolve();
    await released.promise;
    return answer();
  });
  return { asked: asked.promise, release: () => released.resolve() };
}

const accountAt = (fake: FakeCa, number: number) => () => ({
  headers: { Location: `${fake.url}/account/${number}` },
  body: { status: 'valid' },
});

test('open() opens the account once however many ask, and a caller that gives up does not end it for the others', async () => {
  await using ready = await startCas();
  const { first, fakes } = ready;
  const { asked, release } = holdBack(fakes.first, accountAt(fakes.first, 7));
  const [impatient, reason] = [new AbortController(), new Error('no more patience')];
  const givingUp = first.account.open(impatient.signal);
  const waiting = [1, 2, 3].map(() => first.account.open(never));
  await asked;
  impatient.abort(reason);
  await assert.rejects(givingUp, error => error === reason);
  await assert.rejects(first.account.open(impatient.signal), error => error === reason);
  release();
  for (const { url } of await Promise.all(waiting)) assert.equal(url, `${fakes.first.url}/account/7`);
  assert.equal(accountPosts(fakes.first).length, 1);
  await first.account.open(never);
  assert.equal(accountPosts(fakes.first).length, 1);
});

test('an opening that every caller has given up goes on, and its failure is of no harm', async () => {
  await using ready = await startCas();
  const { first, fakes } = ready;
  const { asked, release } = holdBack(fakes.first, away);
  const controller = new AbortController();
  const opening = first.account.open(controller.signal);
  await asked;
  controller.abort(new Error('no more patience'));
  await assert.rejects(opening, /no more patience/);
  release();
  await waitUntil('the opening to fail', () => /maintenance/.test(describeError(first.account.fault)));
});

test('renew() makes an account that the CA has lost anew, once however many ask', async () => {
  await using ready = await startCas();
  const { first, fakes } = ready;
  const lost = await first.account.open(never);
  fakes.first.accounts.clear();
  fakes.first.accounts.set("somebody else's", lost.url);
  fakes.first.requests.length = 0;
  await Promise.all(Array.from({ length: 10 }, () => first.account.renew(lost, never)));
  const renewed = { keyPem: lost.keyPem, url: `${fakes.first.url}/account/2` };
  assert.deepEqual(first.account.current, renewed);
  assert.deepEqual(accountPosts(fakes.first), [{ onlyReturnExisting: true }, {}]);
  await first.account.renew(lost, never); // as by a job that is behind
  assert.equal(accountPosts(fakes.first).length, 2);
});

test('renew() that fails says why, and leaves the account to be tried again', async () => {
  await using ready = await startCas();
  const { first, fakes } = ready;
  const lost = await first.account.open(never);
  fakes.first.on('/new-account', away);
  await assert.rejects(first.account.renew(lost, never), { code: 'unavailable' });
  assert.match(describeError(first.account.fault), /down for maintenance/);
  assert.deepEqual(first.account.current, lost);
  fakes.first.on('/new-account', accountAt(fakes.first, 5));
  await first.account.renew(lost, never);
  assert.equal(first.account.fault, undefined);
  assert.deepEqual(first.account.current, { keyPem: lost.keyPem, url: `${fakes.first.url}/account/5` });
});

test('renew() ends for a caller whose signal fires, and not for the others', async () => {
  await using ready = await startCas();
  const { first, fakes } = ready;
  const lost = await first.account.open(never);
  const { asked, release } = holdBack(fakes.first, accountAt(fakes.first, 3));
  const [controller, reason] = [new AbortController(), new Error('the job has ended')];
  const [ended, waiting] = [first.account.renew(lost, controller.signal), first.account.renew(lost, never)];
  await asked;
  controller.abort(reason);
  await assert.rejects(ended, error => error === reason);
  assert.deepEqual(first.account.current, lost);
  release();
  await waiting;
  assert.equal(first.account.current?.url, `${fakes.first.url}/account/3`);
});

test('an account tells how it is each time that changes: opened, refused by its CA, and working again', async () => {
  const states: AccountState[] = [];
  const opened = { keyPem: 'key', url: 'https://ca.example/account/1' };
  let away = true;
  const open = async () => {
    if (away) throw new IssuanceError('unavailable', 'away');
    return opened;
  };
  const account = holdAccount({} as never, open, state => void states.push(state));
  assert.deepEqual(states, []);
  await assert.rejects(account.open(never), { code: 'unavailable' });
  away = false;
  await account.open(never);
  assert.deepEqual(states.splice(0), [{ fault: 'away' }, { url: opened.url }]);

  const refused = new IssuanceError('misconfigured', 'the account is deactivated');
  for (let times = 0; times < 3; times++) account.note(refused);
  assert.equal(describeError(account.fault), 'the account is deactivated');
  assert.deepEqual(account.current, opened);
  for (let times = 0; times < 3; times++) account.note(undefined);
  assert.equal(account.fault, undefined);
  assert.deepEqual(states, [{ fault: 'the account is deactivated' }, { url: opened.url }]);
});
