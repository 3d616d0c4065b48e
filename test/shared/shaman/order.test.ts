import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDirectory } from '../../../shared/acme/directory.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import type { Breaker } from '../../../shared/ca/breaker.ts';
import { openCaOf } from '../../../shared/ca/open-ca.ts';
import { newOrderState } from '../../../shared/order/next-step.ts';
import { openedKeyDigest } from '../../../shared/pki/public-key.ts';
import { OWN_ACCOUNT, openAccounts } from '../../../shared/shaman/account.ts';
import { runDomain } from '../../../shared/shaman/domain.ts';
import { DomainEntry, inDirectory, openShamanFile } from '../../../shared/shaman/file.ts';
import { findOrder, type Ordering, orderCertificate } from '../../../shared/shaman/order.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { type TurnedClock, turnedClock } from '../../support/turned-clock.ts';
import { taskFor } from '../order/drive.ts';
import { requestsOf, scriptCa } from '../order/scripted-ca.ts';

const name = 'a.example';
const away = () => new IssuanceError('unavailable', 'the CA is away');

const kind = (name: string) => ({ type: `urn:ietf:params:acme:error:${name}` });
const refuse = (code: IssuanceError['code'], name: string) =>
  new IssuanceError(code, `the CA refused: ${name}`, { problem: kind(name) });

/** A CA of a script, whose breaker opens at the third failure. */
function openScripted(name: string, host: string, clock: TurnedClock, told: string[]) {
  const script = scriptCa({ base: `https://${host}` });
  const newOrder: typeof script.newOrder = async (identifiers, options) => {
    told.push(`${name} ${options?.replaces ?? 'anew'}`);
    return newOrderOf(identifiers, options);
  };
  const newOrderOf = script.newOrder;
  script.newOrder = newOrder;
  let failures = 0;
  const breaker: Breaker = {
    suspected: true,
    admit: async () => (failures >= 3 ? 'open' : 'closed'),
    failed: async () => ++failures === 3,
    answered: async () => false,
    opened: async () => (failures >= 3 ? { since: 0, reason: 'it is away' } : undefined),
  };
  const openAccount = async () => ({ keyPem: '', url: script.accountUrl });
  const of = { name, directoryUrl: `https://${host}/directory`, ca: undefined };
  const url = `https://${host}/directory`;
  const data = { renewalInfo: `https://${host}/renewal-info` };
  const directory = async () => parseDirectory({ url, status: 200, headers: {}, data }, 0);
  return { script, ca: { ...openCaOf(of, openAccount, clock), breaker, directory } };
}

/** A domain in a `shaman.json`, and the CAs of accounts that are ordered from. */
async function start(names: [string, ...string[]] = [OWN_ACCOUNT]) {
  const dir = await tempDir();
  const server = 'https://ca0.example/directory';
  await writeFile(join(dir.path, 'shaman.json'), JSON.stringify({ server, domains: { [name]: {} } }));
  const file = openShamanFile(dir.path);
  const clock = turnedClock(0);
  const told: string[] = [];
  const all = names.map((one, index) => openScripted(one, `ca${index}.example`, clock, told));
  const [script = assert.fail(), second = script] = all.map(one => one.script);
  const cas = all.map(({ ca }) => ca);
  const signal = new AbortController().signal;
  const ordering: Ordering = {
    accounts: {
      ...openAccounts(cas, { all: cas, server }, { log: quietLog, signal }),
      actAs: async (wanted, act) => act(all.find(({ ca }) => ca === wanted)?.script ?? script),
    },
    solversOf: () => all.flatMap(({ script }) => script.solver),
    claimant: '',
    onLimit: async () => {},
    confirm: async () => {},
    clock,
    log: quietLog,
    signal,
  };
  const readEntry = async () => {
    const [domain] = (await file.read()).domains;
    assert.ok(domain);
    return new DomainEntry(file, domain, quietLog);
  };
  const find = async () => findOrder(ordering, await readEntry());
  /** Orders as a run does, which keeps the certificate and forgets the order. */
  const order = async (patience = clock.now()) => {
    const resumed = await find();
    const entry = await readEntry();
    const ordered = await orderCertificate(ordering, entry, { task: taskFor(name), resumed, patience });
    await entry.change({ orderUrl: undefined, memory: { order: undefined } });
    return ordered;
  };
  const orders = () => script.calls.filter(call => call === 'newOrder').length;
  return {
    script,
    second,
    told,
    clock,
    readEntry,
    find,
    order,
    ordering,
    orders,
    domain: async () => (await readEntry()).domain,
    [Symbol.asyncDispose]: dir[Symbol.asyncDispose],
  };
}

test('shaman sits a CA out that is away for a moment, with one order', async () => {
  await using ready = await start();
  const { script, clock, order, orders } = ready;
  for (const call of ['getAuthorization', 'finalize', 'download']) script.failNext.set(call, away());
  assert.equal((await order()).chain, 'the chain');
  assert.equal(orders(), 1);
  assert.ok(clock.sleeps.filter(ms => ms >= 750).length >= 3);
});

test('shaman asks a CA that is away five times in a row, and leaves the order to the next run', async () => {
  await using ready = await start();
  const { script, order } = ready;
  let asked = 0;
  script.finalize = async () => {
    asked++;
    throw away();
  };
  await assert.rejects(order(), /the CA is away/);
  assert.equal(asked, 5);
  assert.equal(script.presented.size, 0);
});

test('shaman leaves an order that the CA is too long away for as it stands, but for what was presented', async () => {
  await using ready = await start();
  const { script, order, orders, domain, find } = ready;
  const until = new IssuanceError('unavailable', 'come back', { retryAfter: 61_000 });
  script.failNext.set('initiate', until);
  await assert.rejects(order(), until);
  assert.equal(script.presented.size, 0);
  const { orderUrl, memory } = await domain();
  assert.equal(orderUrl, script.order.url);
  assert.deepEqual(memory.order?.challenges, []);
  const { from } = (await find()) ?? {};
  assert.deepEqual(from?.order, { ...newOrderState(), url: script.order.url });
  assert.equal(from?.turn, 'counted');
  assert.equal((await order()).chain, 'the chain');
  assert.equal(orders(), 1);
});

test('shaman makes one new order at once where the CA has lost one, and leaves it at that', async () => {
  await using ready = await start();
  const { script, order, orders } = ready;
  const gone = () => new IssuanceError('gone', 'no such order');
  script.failNext.set('getAuthorization', gone());
  assert.equal((await order()).chain, 'the chain');
  assert.equal(orders(), 2);
  script.getAuthorization = async () => {
    throw gone();
  };
  await assert.rejects(order(), /no such order/);
  assert.equal(orders(), 4);
});

test('shaman forgets an order that its CA has ended, and makes a new one in the next run', async () => {
  await using ready = await start();
  const { script, order, orders, domain } = ready;
  const { initiateChallenge } = script;
  script.initiateChallenge = async () => {
    script.initiateChallenge = initiateChallenge;
    Object.assign(script.order, { status: 'invalid', error: { ...kind('caa'), detail: 'not here' } });
  };
  await assert.rejects(order(), /not here/);
  const { orderUrl, memory } = await domain();
  assert.deepEqual([orderUrl, memory.order, script.presented.size], [undefined, undefined, 0]);
  assert.equal((await order()).chain, 'the chain');
  assert.equal(orders(), 2);
});

test('shaman makes no new order where it is the account that the CA has lost', async () => {
  await using ready = await start();
  const { script, order, orders } = ready;
  const problem = { type: 'urn:ietf:params:acme:error:accountDoesNotExist' };
  const lost = new IssuanceError('gone', 'no such account', { problem });
  script.failNext.set('newOrder', lost);
  await assert.rejects(order(), lost);
  assert.equal(orders(), 1);
});

test('shaman does not wait for a rate limit', async () => {
  await using ready = await start();
  const { script, order } = ready;
  script.failNext.set('newOrder', new IssuanceError('rateLimited', 'too many', { retryAfter: 30_000 }));
  await assert.rejects(order(), /too many/);
  assert.deepEqual(script.calls, ['newOrder']);
});

test('shaman goes to the next account for what only the first CA says, and remembers by which the order is', async () => {
  for (const error of [
    refuse('denied', 'rejectedIdentifier'),
    refuse('denied', 'caa'),
    refuse('misconfigured', 'userActionRequired'),
    new IssuanceError('rateLimited', 'too many'),
  ]) {
    await using ready = await start(['first', 'second']);
    const { script, second, order, domain, find } = ready;
    script.failNext.set('newOrder', error);
    second.failNext.set('finalize', refuse('badCsr', 'badCSR'));
    await assert.rejects(order(), /badCSR/, `${error.message}, and then what no CA would take`);
    const { orderUrl, memory } = await domain();
    assert.equal(orderUrl, second.order.url);
    assert.equal(memory.order?.account, 'second');
    assert.equal((await find())?.ca.name, 'second');
    assert.equal((await order()).ca.name, 'second', 'the order is gone on with where it was made');
    assert.equal(second.calls.filter(call => call === 'newOrder').length, 1);
  }
});

test('shaman goes to no other account with a challenge that failed, nor with a CSR that is refused', async () => {
  for (const error of [refuse('challengeFailed', 'unauthorized'), refuse('badCsr', 'badCSR')]) {
    await using ready = await start(['first', 'second']);
    const { script, second, order } = ready;
    script.failNext.set('getAuthorization', error);
    await assert.rejects(order(), error);
    assert.deepEqual(second.calls, []);
  }
});

test('shaman leaves an order whose CA went away, withdraws its challenges, and passes the CA over from then on', async () => {
  await using ready = await start(['first', 'second']);
  const { script, order, told } = ready;
  script.initiateChallenge = async () => {
    throw away();
  };
  assert.equal((await order()).ca.name, 'second');
  assert.equal(script.presented.size, 0);
  const { length } = requestsOf(script);
  assert.equal((await order()).ca.name, 'second');
  assert.equal(requestsOf(script).length, length, 'it is not asked again');
  assert.deepEqual(told, ['first anew', 'second anew', 'second anew']);
});

test('shaman withdraws what a killed run has presented at a CA that is passed over now', async () => {
  await using ready = await start(['first', 'second']);
  const { script, order, readEntry } = ready;
  const made = await script.newOrder(taskFor(name).identifiers);
  const challenge = {
    identifier: { type: 'dns' as const, value: name },
    url: 'x',
    solver: 'http',
    told: false,
  };
  const token = 'a-token-of-22-characters';
  script.presented.add(token);
  const presented = { ...challenge, token };
  const memory = {
    ...newOrderState(),
    challenges: [presented],
    url: made.url,
    names: [name],
    account: 'first',
    finalizedAt: 7,
  };
  await (await readEntry()).change({ orderUrl: made.url, memory: { order: memory } });
  script.getOrder = async () => {
    throw away();
  };
  const found = await ready.find();
  for (let time = 0; time < 3; time++) await found?.ca.breaker.failed('it is away');
  const { newOrder } = ready.second;
  ready.second.newOrder = async identifiers => {
    const left = { ...memory, challenges: [] };
    assert.deepEqual((await readEntry()).domain.memory.order, left, 'the CA may be finalizing it still');
    return newOrder(identifiers);
  };
  assert.equal((await order()).ca.name, 'second');
  assert.equal(script.presented.size, 0);
});

test('shaman says of every account why it does not issue, and when one may', async () => {
  await using ready = await start(['first', 'second']);
  const { script, second, order } = ready;
  script.failNext.set('newOrder', refuse('denied', 'caa'));
  second.failNext.set('newOrder', new IssuanceError('rateLimited', 'too many', { retryAfter: 7_200_000 }));
  await assert.rejects(order(), ({ code, message, retryAfter }: IssuanceError) => {
    assert.deepEqual([code, retryAfter], ['denied', 7_200_000]);
    return /the CA refused: caa; account second: too many/.test(message);
  });
});

test('shaman waits for a limit that ends before the certificate does, and else goes to the next account', async () => {
  await using ready = await start(['first', 'second']);
  const { script, second, order } = ready;
  const limited = () => new IssuanceError('rateLimited', 'too many', { retryAfter: 7_200_000 });
  script.failNext.set('newOrder', limited());
  await assert.rejects(order(8_000_000), /too many/);
  assert.deepEqual(second.calls, []);
  script.failNext.set('newOrder', limited());
  assert.equal((await order(7_000_000)).ca.name, 'second');
});

test('shaman says what is replaced to the CA alone that issued it', async () => {
  const renewal = { id: 'aki.serial', named: true, info: { none: '' }, at: 0, why: '' };
  const bySecond = { account: 'second', directory: 'https://ca1.example/directory' };
  for (const [issuedBy, expected] of [
    [bySecond, ['first anew', 'second aki.serial']],
    // The profile's own server is that of the first, and a CA that refuses may do so for `replaces` alone.
    [undefined, ['first aki.serial', 'first anew', 'second anew']],
  ] as const) {
    await using ready = await start(['first', 'second']);
    const { script, order, readEntry, told } = ready;
    await (await readEntry()).change({ memory: { renewal, ...(issuedBy && { issuedBy }) } });
    const { newOrder } = script;
    script.newOrder = async (...asked) => {
      script.failNext.set('newOrder', refuse('denied', 'caa'));
      return newOrder(...asked);
    };
    await order();
    assert.deepEqual(told, expected);
  }
});

test('shaman leaves an order that its CA works on to the next run, with the time to come again, or after a quarter of an hour', async () => {
  for (const [wait, after] of [
    [7_200_000, 0],
    [undefined, 900_000],
  ] as const) {
    await using ready = await start(['first', 'second']);
    const { script, second, order, clock } = ready;
    const { finalize } = script;
    script.moving = true;
    script.finalize = async (...asked) => {
      script.moving = false;
      const retryAfter = wait === undefined ? undefined : clock.now() + wait;
      return { ...(await finalize(...asked)), retryAfter };
    };
    await assert.rejects(order(), (error: IssuanceError) => {
      assert.equal(error.code, 'unavailable');
      assert.ok((error.retryAfter ?? 0) >= clock.now() + 60_000 - 10_000);
      return true;
    });
    assert.ok(clock.now() >= after - 10_000 && clock.now() < after + 20_000, `${clock.now()}`);
    script.moving = true;
    assert.equal((await order()).chain, 'the chain');
    assert.deepEqual([requestsOf(script).filter(one => one === 'newOrder').length, second.calls], [1, []]);
  }
});

test('shaman forgets an order by an account that is not ordered from any more', async () => {
  await using ready = await start(['first', 'second']);
  const { order, script, readEntry, domain, find } = ready;
  script.failNext.set('finalize', refuse('badCsr', 'badCSR'));
  await assert.rejects(order());
  const { order: memory } = (await domain()).memory;
  assert.ok(memory);
  await (await readEntry()).change({ memory: { order: { ...memory, account: 'third' } } });
  assert.equal(await find(), undefined);
  assert.equal((await domain()).orderUrl, undefined);
});

test('shaman orders nothing for a key that is blocked, and does not finalize where it is blocked meanwhile', async () => {
  await using ready = await start();
  const { script, ordering, readEntry, orders } = ready;
  const asked: string[] = [];
  let refusals = ['at once'];
  const refuseBlocked = async (publicKey: string) => {
    asked.push(publicKey);
    if (refusals.shift()) throw new IssuanceError('denied', 'the public key is blocked');
  };
  const run = async () => runDomain(ordering, await readEntry(), { days: undefined, refuseBlocked });
  await assert.rejects(run(), { code: 'denied' });
  assert.equal(orders(), 0);
  refusals = ['', 'later'];
  await assert.rejects(run(), { code: 'denied' });
  assert.deepEqual([orders(), script.calls.includes('finalize'), script.presented.size], [1, false, 0]);
  const { file, domain } = await readEntry();
  const own = openedKeyDigest(await readFile(inDirectory(file, domain.key ?? '')));
  assert.deepEqual(asked, [own, own, own]);
});
