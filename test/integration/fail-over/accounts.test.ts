import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { after, afterEach, suite, test } from 'node:test';
import { axios, Client } from 'acme-client';
import { renewalInfoId } from '../../../shared/acme/renewal-info.ts';
import { callQuarryWith } from '../../support/call-quarry.ts';
import { accountSecrets, type RoleOptions, startFleet } from '../../support/fleet.ts';
import { startHookReceiver } from '../../support/hook-receiver.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { type Post, post, sent } from '../faults/orders.ts';
import { asked, assertIssuedBy, readyz, refuse, untilOpen } from './answers.ts';

// One of two accounts cannot order: its CA is well, but does not want it.

const parts = new AsyncDisposableStack();
after(() => parts.disposeAsync());
const receiver = parts.use(await startHookReceiver());
const half = 30_000;
const fleet = parts.use(
  await startFleet({
    roles: [],
    pebble: { profiles: { only: { description: 'a minute', validityPeriod: (2 * half) / 1000 } } },
    second: {},
  }),
);
afterEach(() => fleet.letGo());
const storage = `[storage "kept"]
type = redis
`;
const blocks = `[auth "all"]
all = yes
domain = *
account = default, second
[notify "chat"]
url = ${receiver.url}
`;

/** Quarry over the same Redis and CAs, with a first account of its own. */
async function startApart(name: string, terms: string, more: RoleOptions = {}) {
  const dir = join(fleet.dir, name);
  const options = {
    redis: `prefix = {${name}}`,
    account: `dir = ${dir}\n${terms}`,
    blocks,
    ...more,
  };
  const to = await fleet.start('up', options);
  for (const secret of accountSecrets(join(dir, 'account.pem'))) fleet.secrets.add(secret);
  const untilReady = () => untilOpen({ accountDir: dir });
  return {
    to,
    dir,
    untilReady,
    ca: async () => callQuarryWith(await fleet.ini(options), ['ca', 'main.ini']),
  };
}

const agreed = 'accept-terms-of-service = yes';

/** What operators were told of the account. */
const messages = (pattern: RegExp) => receiver.posts.filter(({ body }) => pattern.test(body));

suite('the second account gets the orders', () => {
  test('where the first has been deactivated, which an operator is told once', async () => {
    const { to, dir, untilReady, ca } = await startApart('deactivated', agreed);
    await untilReady();
    await assertIssuedBy(fleet, 'default', [await post(fleet, ['before.example'], { to })]);
    await deactivate(dir);
    await assertIssuedBy(fleet, 'second', [await post(fleet, ['first.example'], { to })]);
    const names = ['second.example', 'third.example'];
    await assertIssuedBy(fleet, 'second', await Promise.all(names.map(name => post(fleet, [name], { to }))));
    await waitUntil('the message', () => messages(/deactivated/).length > 0, 60_000);
    assert.equal(messages(/deactivated/).length, 1);
    const told = await ca();
    assert.equal(told.code, 0, told.stderr);
    assert.match(told.stdout, /default[\s\S]*deactivated[\s\S]*second/);
  });

  test("where the terms of the first one's CA are not accepted", async () => {
    const { to, ca } = await startApart('terms', 'accept-terms-of-service = no');
    await assertIssuedBy(fleet, 'second', [await post(fleet, ['terms.example'], { to })]);
    for (const { body } of [await readyz(to), { body: (await ca()).stdout }])
      assert.match(body, /default[\s\S]*terms of service are not accepted[\s\S]*Do%20what%20thou%20wilt/);
  });

  test('where the first CA demands an external account binding', async () => {
    fleet.ca.rule({
      kind: 'directory',
      do: {
        rewrite({ body }) {
          const { meta, ...directory } = JSON.parse(body);
          return { body: JSON.stringify({ ...directory, meta: { ...meta, externalAccountRequired: true } }) };
        },
      },
    });
    const { to, ca } = await startApart('unbound', agreed);
    await assertIssuedBy(fleet, 'second', [await post(fleet, ['unbound.example'], { to })]);
    for (const { body } of [await readyz(to), { body: (await ca()).stdout }])
      assert.match(body, /default[\s\S]*eab-kid/);
  });

  test('where the first CA does not take the external account binding', async () => {
    const key = Buffer.from('a mac key of thirty-two bytes ...').toString('base64url');
    const problem = { type: 'unauthorized', detail: 'the kid of the binding is not known' };
    const refusal = fleet.ca.rule({
      kind: 'newAccount',
      when: ({ payload }) => payload?.externalAccountBinding !== undefined,
      do: { answer: { status: 403, problem } },
    });
    const { to } = await startApart('misbound', `${agreed}\neab-kid = kid-1\neab-hmac-key = ${key}`);
    await assertIssuedBy(fleet, 'second', [await post(fleet, ['misbound.example'], { to })]);
    assert.ok(refusal.hits > 0);
    assert.match((await readyz(to)).body, /default[\s\S]*the kid of the binding is not known/);
  });

  test('where the budget of the first is used up for longer than the client waits', async () => {
    const limits = `[limits]\norders = 2/1d\n${blocks}`;
    const { to, untilReady, ca } = await startApart('spent', agreed, { blocks: limits });
    await untilReady();
    const posts: Post[] = [];
    for (const host of ['a', 'b', 'c']) {
      posts.push(await post(fleet, [`${host}.spent.example`], { to }));
      await posts.at(-1)?.answer;
    }
    await assertIssuedBy(fleet, 'default', posts.slice(0, 2));
    await assertIssuedBy(fleet, 'second', posts.slice(2));
    assert.deepEqual(asked(fleet, 'c.spent.example'), { default: 0, second: 1 });
    assert.match((await ca()).stdout, /default[\s\S]*\b0\b[\s\S]*second/);
  });
});

test('`replaces` is sent to the CA that has issued the certificate, and to no other', async () => {
  const { to, untilReady } = await startApart('replaced', agreed, {
    blocks: `${storage}${blocks.replace('[notify', 'storage = kept\n[notify')}`,
  });
  await untilReady();
  const name = 'replaced.example';
  const first = await post(fleet, [name], { to });
  await assertIssuedBy(fleet, 'default', [first]);
  const { body } = await first.answer;
  const leaf = new X509Certificate(body);
  refuse(fleet.ca, name, { type: 'caa' });
  // Half of its life is over: it is ordered anew, but has not ended.
  const middle = leaf.validFromDate.getTime() + half;
  await waitUntil('half of its life', () => Date.now() > middle, 2 * half);
  await assertIssuedBy(fleet, 'second', [{ ...first, answer: fleet.post(first.csrPem, { to }) }]);
  const replaced = ({ ca }: { ca: typeof fleet.ca }) => sent(ca, name, 'newOrder').map(one => one.replaces);
  const id = renewalInfoId(body.slice(0, body.indexOf('-----END CERTIFICATE-----') + 25));
  // Whatever the CA says to a replacement, it is asked once more without.
  assert.deepEqual(replaced(fleet), [undefined, id, undefined]);
  assert.deepEqual(replaced(fleet.second), [undefined]);
});

test('accounts of which each has a block of its own are used each for its own', async () => {
  const own = (name: string) =>
    `[auth "${name}"]\nall = yes\ndomain = *.${name}.example\naccount = ${name}\n`;
  const { to } = await startApart('apart', agreed, { blocks: own('default') + own('second') });
  const [one, other] = await Promise.all(
    ['www.default.example', 'www.second.example'].map(name => post(fleet, [name], { to })),
  );
  assert.ok(one && other);
  await assertIssuedBy(fleet, 'default', [one]);
  await assertIssuedBy(fleet, 'second', [other]);
});

/** As its owner could, by any other ACME client. */
async function deactivate(dir: string): Promise<void> {
  axios.defaults.httpsAgent = new Agent({ ca: await readFile(fleet.ca.caFile) });
  const { uri } = JSON.parse(await readFile(join(dir, 'registration.json'), 'utf8')) as { uri: string };
  const client = new Client({
    directoryUrl: fleet.ca.directoryUrl,
    accountKey: await readFile(join(dir, 'account.pem'), 'utf8'),
    accountUrl: uri,
  });
  await client.updateAccount({ status: 'deactivated' } as never);
}
