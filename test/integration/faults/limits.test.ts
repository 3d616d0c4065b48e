import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import type { Answer } from '../../support/ask.ts';
import { callQuarryWith } from '../../support/call-quarry.ts';
import { startChalltestsrv } from '../../support/challtestsrv.ts';
import { makeCsr } from '../../support/csr.ts';
import { type RoleProcess, startFleet } from '../../support/fleet.ts';
import { freePort } from '../../support/free-port.ts';
import { listen } from '../../support/listen.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { about, assertIssued, post, sent } from './orders.ts';

const parts = new AsyncDisposableStack();
after(() => parts.disposeAsync());
const fleet = parts.use(await startFleet({ roles: [] }));
const names = parts.use(await startChalltestsrv());
/** A web server in front of Quarry that lacks its rule. */
const ruleless = parts.use(
  await listen((_, response) => void response.writeHead(404).end('<html>nginx</html>')),
);

const verification = async (name: string, selfCheck: string) => `[verification "${name}"]
type = http01
listener = 127.0.0.1:${await freePort()}
${selfCheck}
`;

const look = (mode: string, port: number) => `self-check = ${mode}
self-check-port = ${port}
self-check-resolver = ${names.dnsServer}
self-check-network = 127.0.0.0/8`;

const auth = (name: string, more: string) => `[auth "${name}"]
all = yes
domain = *.${name}.example
${more}
`;

const off = await verification('plain', 'self-check = off');
const main = {
  mgmt: 'default-verification = plain',
  blocks: [
    off,
    await verification('visible', look('require', fleet.front.port)),
    await verification('unproxied', look('require', ruleless.port)),
    await verification('warned', look('warn', ruleless.port)),
    ...['visible', 'unproxied', 'warned'].map(name => auth(name, `verification = ${name}`)),
    '[auth "all"]\nall = yes\ndomain = *',
  ].join(''),
};
/**
 * Another Quarry over the same Redis, with the same account, that knows nothing of the first one's limits.
 */
const startApart = async (name: string, more = '[auth "all"]\nall = yes\ndomain = *') =>
  fleet.start('up', {
    mgmt: 'default-verification = plain',
    redis: `prefix = {${name}}`,
    blocks: (await verification('plain', 'self-check = off')) + more,
  });

await Promise.all((['intake', 'worker', 'responder'] as const).map(role => fleet.start(role, main)));

type To = { to?: RoleProcess };

/**
 * Posts a new CSR for the names and answers with what came, and how many newOrders the CA was sent for it.
 */
async function tryFor(
  wanted: string[],
  options?: To,
): Promise<Answer & { newOrders: number; retryAfter: number }> {
  const before = newOrdersFor(wanted);
  const { csrPem } = await makeCsr({ names: wanted });
  const answer = await fleet.post(csrPem, options);
  return {
    ...answer,
    newOrders: newOrdersFor(wanted) - before,
    retryAfter: Number(answer.headers['retry-after']),
  };
}

const newOrdersFor = (wanted: string[]) =>
  fleet.ca
    .requests()
    .filter(
      ({ kind, identifiers = [] }) =>
        kind === 'newOrder' && identifiers.every(({ value }) => wanted.includes(value)),
    ).length;

type Wanted = { status: number; newOrders: number; body?: RegExp; least?: number; most?: number };

async function assertTry(wanted: string[], expected: Wanted, options?: To): Promise<number> {
  const { status, body, newOrders, retryAfter } = await tryFor(wanted, options);
  assert.deepEqual([status, newOrders], [expected.status, expected.newOrders], `${wanted}: ${body}`);
  if (expected.body) assert.match(body, expected.body);
  if (expected.least !== undefined) assert.ok(retryAfter >= expected.least, `Retry-After: ${retryAfter}`);
  if (expected.most !== undefined) assert.ok(retryAfter <= expected.most, `Retry-After: ${retryAfter}`);
  return retryAfter;
}

const issued = { status: 200, newOrders: 1 };

async function quarryLimits(...words: string[]) {
  return callQuarryWith(await fleet.ini(main), ['limits', ...words, 'main.ini']);
}

async function mend(name: string): Promise<void> {
  const body = JSON.stringify({ host: `${name}.` });
  const { status } = await fetch(`${fleet.pebble.challtestsrvUrl}/clear-a`, { method: 'POST', body });
  assert.equal(status, 200);
}

suite('a limit that the CA answers with is parked, and holds back without another request', {
  concurrency: true,
}, () => {
  test('the registered domain, and no other', async () => {
    fleet.ca.playRateLimit({ limit: 'certificatesPerDomain', name: 'busy.example', perSeconds: 600 });
    const said = /too many certificates \(50\) already issued for "busy\.example"/;
    const told = await assertTry(['a.busy.example'], {
      status: 429,
      newOrders: 1,
      body: said,
      least: 500,
      most: 600,
    });
    await assertTry(['b.busy.example'], { status: 429, newOrders: 0, body: said, least: 400, most: told });
    await assertTry(['free.busy2.example', 'c.busy.example'], { status: 429, newOrders: 0, body: said });
    await assertTry(['a.calm.example'], issued);
  });

  test('the exact set, and not its parts', async () => {
    fleet.ca.playRateLimit({
      limit: 'certificatesPerExactSet',
      perSeconds: 600,
      when: request => about('a.set.example')(request) && about('b.set.example')(request),
    });
    const said = /exact set of identifiers/;
    await assertTry(['a.set.example', 'b.set.example'], { status: 429, newOrders: 1, body: said });
    await assertTry(['b.set.example', 'a.set.example'], {
      status: 429,
      newOrders: 0,
      body: said,
      least: 400,
      most: 600,
    });
    await assertTry(['a.set.example'], issued);
  });

  test('the one name', async () => {
    fleet.ca.playRateLimit({ limit: 'failedAuthorizations', name: 'n.name.example', perSeconds: 600 });
    const said = /too many failed authorizations \(5\) for "n\.name\.example"/;
    await assertTry(['n.name.example'], { status: 429, newOrders: 1, body: said });
    await assertTry(['m.name.example', 'n.name.example'], { status: 429, newOrders: 0, body: said });
    await assertTry(['m.name.example'], issued);
  });

  test('the identifier of a subproblem, whatever the problem itself is', async () => {
    const identifier = { type: 'dns', value: 'x.sub.example' };
    const problem = {
      type: 'malformed',
      detail: 'some identifiers are refused',
      subproblems: [{ type: 'urn:ietf:params:acme:error:rateLimited', detail: 'not this one', identifier }],
    };
    const answer = { status: 403, headers: { 'Retry-After': '600' }, problem };
    fleet.ca.rule({ kind: 'newOrder', when: about('x.sub.example'), do: { answer } });
    await assertTry(['x.sub.example', 'y.sub.example'], { status: 429, newOrders: 1 });
    await assertTry(['x.sub.example'], { status: 429, newOrders: 0, least: 400, most: 600 });
    await assertTry(['y.sub.example'], issued);
  });

  test('the account, until its time has come', async () => {
    const to = await startApart('account');
    const rule = fleet.ca.playRateLimit({
      limit: 'ordersPerAccount',
      perSeconds: 600,
      when: request => about('a.account.example')(request),
    });
    await assertTry(['a.account.example'], { status: 429, newOrders: 1, least: 400, most: 600 }, { to });
    rule.remove();
    await assertTry(['other.tenant.example'], { status: 429, newOrders: 0, least: 300, most: 600 }, { to });
    const key = '{account}:limit:account/default';
    assert.equal(await fleet.redisClient.pexpire(key, 1), 1, 'it stands in Redis until then');
    await waitUntil('the limit to end', async () => (await fleet.redisClient.exists(key)) === 0);
    await assertTry(['other.tenant.example'], issued, { to });
  });

  test('the whole fleet for a load balancer, whose Retry-After the jobs wait for while the clients notice nothing', async () => {
    const to = await startApart('balancer');
    const names = ['a.balancer.example', 'b.balancer.example', 'c.balancer.example'];
    let until = Infinity;
    const busy = fleet.ca.playBusyLoadBalancer({
      kind: 'newOrder',
      when: request => names.some(name => about(name)(request)) && Date.now() < until,
      retryAfter: 4,
    });
    const posts = [await post(fleet, names.slice(0, 1), { to })];
    until = (await busy.hit()).at + 4_000 - 5;
    await waitUntil(
      'it to be parked',
      async () => (await fleet.redisClient.exists('{balancer}:limit:account/default')) === 1,
    );
    for (const name of names.slice(1)) posts.push(await post(fleet, [name], { to }));
    await assertIssued(fleet, posts);
    assert.equal(busy.hits, 1, 'nobody came before the time');
    assert.deepEqual(
      names.map(name => sent(fleet.ca, name, 'newOrder').length),
      [2, 1, 1],
    );
  });

  test('the whole fleet for a load balancer that says it as a date', async () => {
    const to = await startApart('dated');
    const names = ['a.dated.example', 'b.dated.example'];
    const until = Math.ceil(Date.now() / 1000) * 1000 + 15_000;
    const busy = fleet.ca.playBusyLoadBalancer({
      kind: 'newOrder',
      when: request => names.some(name => about(name)(request)) && Date.now() < until - 5,
      retryAfter: new Date(until).toUTCString(),
    });
    const posts = [await post(fleet, names.slice(0, 1), { to })];
    await busy.hit();
    await waitUntil(
      'it to be parked',
      async () => (await fleet.redisClient.exists('{dated}:limit:account/default')) === 1,
    );
    posts.push(await post(fleet, names.slice(1), { to }));
    await assertIssued(fleet, posts);
    assert.equal(busy.hits, 1, 'nobody came before the time');
    assert.deepEqual(
      names.map(name => sent(fleet.ca, name, 'newOrder').length),
      [2, 1],
    );
  });

  test('the paused name, until an operator clears it', async () => {
    const key = `name/p.paused.example@${new URL(fleet.ca.directoryUrl).host}`;
    const rule = fleet.ca.playPaused({ name: 'p.paused.example' });
    const said = /temporarily prevented .*https:\/\/portal\.letsencrypt\.org/;
    await assertTry(['p.paused.example'], { status: 429, newOrders: 1, body: said });
    await assertTry(['p.paused.example'], { status: 429, newOrders: 0, body: said, least: 60 });
    await assertTry(['q.paused.example'], issued);
    assert.equal(await fleet.redisClient.ttl(`{quarry}:limit:${key}`), -1, 'it stands without end');

    const listed = await quarryLimits();
    assert.equal(listed.code, 0, listed.stderr);
    assert.match(listed.stdout, /^name\/p\.paused\.example@\S+ {2}until you clear it\n {4}.*portal/m);
    rule.remove();
    await assertTry(['p.paused.example'], { status: 429, newOrders: 0 });
    const cleared = await quarryLimits('clear', key);
    assert.deepEqual([cleared.code, cleared.stdout], [0, `cleared: ${key}\n`], cleared.stderr);
    await assertTry(['p.paused.example'], issued);
    const again = await quarryLimits('clear', key);
    assert.deepEqual(
      [again.code, again.stderr],
      [1, `quarry: no limit "${key}"; quarry limits lists them\n`],
    );
  });
});

suite('limits that are known beforehand', { concurrency: true }, () => {
  test('refuse the order that would go over one of them, before the CA is asked', async () => {
    const to = await startApart(
      'budget',
      `[limits]
orders = 10/3h
certificates-per-domain = 3/7d
certificates-per-set = 2/7d
failed-authorizations = 2/1h
${auth('greedy', 'domain = *.greedy2.example\ndomain = *.greedy3.example\nshare = 20%')}[auth "all"]
all = yes
domain = *
`,
    );
    /** So many are made, and then the next one is refused for this limit. */
    const useUp = async (key: string, wanted: string[][], until: Wanted, refused: string[]) => {
      for (const one of wanted) await assertTry(one, until, { to });
      const body = new RegExp(`${key}(@\\S+)? is used up; it was not asked`);
      await assertTry(refused, { status: 429, newOrders: 0, body, least: 60 }, { to });
    };
    await fleet.misdirect('f.budget.example');
    const greedy = [['1.greedy.example'], ['1.greedy2.example']];
    const domain = [['1.dom.example'], ['2.dom.example'], ['3.dom.example']];
    const set = ['a.set.budget-set.example', 'b.set.budget-set.example'];
    await Promise.all([
      useUp("the share of auth block greedy of the CA's limit for account/default", greedy, issued, [
        '1.greedy3.example',
      ]),
      useUp('domain/dom.example', domain, issued, ['4.dom.example']),
      useUp('set/\\w{16}', [set, set], issued, set),
      useUp(
        'name/f.budget.example',
        [['f.budget.example'], ['f.budget.example']],
        { status: 421, newOrders: 1 },
        ['f.budget.example'],
      ),
    ]);
    const left = "what the shares of other auth blocks leave of the CA's limit for account/default";
    await useUp(left, [['tenth.example']], issued, ['eleventh.example']);
  });
});

suite('failed validations', { concurrency: true }, () => {
  const failure = { status: 421, newOrders: 1, body: /connection refused/ };

  /** A minute is soon over while much else goes on. */
  async function holdBackForAnHour(name: string): Promise<void> {
    for (const key of await fleet.redisClient.keys('{quarry}:limit:failures/*')) {
      const failed = JSON.parse((await fleet.redisClient.get(key)) ?? '{}');
      const until = Date.now() + 3_600_000;
      if (`${failed.names}` === name)
        await fleet.redisClient.set(key, JSON.stringify({ ...failed, until }), 'KEEPTTL');
    }
  }

  test('hold the same names back from the fourth in an hour on, until an operator clears that', async () => {
    const name = 'fails.example';
    await fleet.misdirect(name);
    for (let count = 0; count < 3; count++) assert.ok(Number.isNaN(await assertTry([name], failure)), 'free');
    await assertTry([name], { ...failure, least: 30, most: 66 });
    await holdBackForAnHour(name);
    const stored = { status: 421, newOrders: 0, body: /^fails\.example: .*connection refused/ };
    await assertTry([name], { ...stored, least: 3_000, most: 3_600 });
    await assertTry([name, 'beside.example'], failure);

    const { stdout } = await quarryLimits();
    const [, key = ''] =
      /^(failures\/\w+\/plain:http-01@\S+) {2}until \S+\n {4}fails\.example: .*\n {4}last asked for: fails\.example$/m.exec(
        stdout,
      ) ?? [];
    assert.notEqual(key, '', stdout);
    await mend(name);
    await assertTry([name], stored);
    const cleared = await quarryLimits('clear', key);
    assert.equal(cleared.code, 0, cleared.stderr);
    await assertTry([name], issued);
  });

  test('are forgotten after a success', async () => {
    const name = 'mended.example';
    await fleet.misdirect(name);
    for (let count = 0; count < 3; count++) await assertTry([name], failure);
    await mend(name);
    await assertTry([name], issued);
    await fleet.misdirect(name);
    for (let failures = 0; failures < 3; ) {
      const challenges = sent(fleet.ca, name, 'challenge').length;
      const { status, newOrders, retryAfter } = await tryFor([name]);
      // Pebble reuses one valid authorization in a hundred even where PEBBLE_AUTHZREUSE is 0.
      if (status === 200 && sent(fleet.ca, name, 'challenge').length === challenges) continue;
      assert.deepEqual([status, newOrders, retryAfter], [421, 1, Number.NaN], 'free again');
      failures++;
    }
  });
});

suite('orders for the same names', { concurrency: true }, () => {
  test('go one after the other for different CSRs, and each gets a certificate for its own key', async () => {
    const name = 'flight.example';
    fleet.ca.playOrderReuse();
    const posts = await Promise.all([1, 2, 3].map(() => post(fleet, [name])));
    const [first] = posts;
    assert.ok(first);
    posts.push({ ...first, answer: fleet.post(first.csrPem) });
    await assertIssued(fleet, posts);
    assert.equal((await posts[3]?.answer)?.body, (await first.answer).body, 'the same CSR shares an order');
    const ends = sent(fleet.ca, name, 'certificate');
    const starts = sent(fleet.ca, name, 'newOrder');
    assert.deepEqual([starts.length, ends.length], [3, 3]);
    for (const [index, { at }] of starts.entries()) {
      if (index > 0)
        assert.ok(at >= (ends[index - 1]?.at ?? Infinity), 'an order begins after the one before');
    }
  });
});

suite("Quarry's own look at a challenge", { concurrency: true }, () => {
  test('comes before the CA is told', async () => {
    const name = 'www.visible.example';
    const tokens: string[] = [];
    fleet.ca.rule({
      kind: 'authorization',
      when: about(name),
      do: {
        rewrite({ body }) {
          const { challenges } = JSON.parse(body) as { challenges: { token: string }[] };
          tokens.push(...challenges.map(({ token }) => token));
          return undefined;
        },
      },
    });
    const rule = fleet.ca.rule({ kind: 'challenge', when: about(name), do: { hold: 'before' } });
    const posted = await post(fleet, [name]);
    await rule.hit();
    const seen = fleet.front.asked.filter(({ path }) => tokens.some(token => path.endsWith(`/${token}`)));
    assert.equal(seen.length, 1);
    assert.ok(seen[0]?.answers.some(({ status }) => status === 200));
    rule.remove();
    await assertIssued(fleet, [posted]);
  });

  test('that is required and finds no proxy rule is a 421 that says so, and the CA is told of no challenge', async () => {
    const name = 'www.unproxied.example';
    for (let count = 0; count < 4; count++) {
      await assertTry([name], {
        ...{ status: 421, newOrders: 1 },
        body: /^www\.unproxied\.example: Quarry looked at http:\/\/www\.unproxied\.example itself and did not see its response: is \/\.well-known\/acme-challenge\/ passed on to a responder there\?\n$/,
      });
    }
    assert.equal(sent(fleet.ca, name, 'authorization').length, 4);
    assert.deepEqual(sent(fleet.ca, name, 'challenge'), []);
  });

  test('that only warns lets an order through, and explains a failure beside what the CA says', async () => {
    await assertTry(['fine.warned.example'], issued);
    await fleet.misdirect('broken.warned.example');
    await assertTry(['broken.warned.example'], {
      ...{ status: 421, newOrders: 1 },
      body: /^broken\.warned\.example: .*connection refused.*\(Quarry looked at http:\/\/broken\.warned\.example itself and did not see its response: is /,
    });
    const [worker] = fleet.all('worker');
    const warned = worker
      ?.log()
      .filter(({ msg }) => /Quarry looked at http:\/\/fine\.warned\.example/.test(`${msg}`));
    assert.equal(warned?.length, 1);
  });
});
