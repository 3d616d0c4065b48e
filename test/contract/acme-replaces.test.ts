import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import type { SignJobData } from '../../shared/queue/sign-records.ts';
import { makeCsr, makeIssued } from '../shared/pki/openssl-csr.ts';
import { toCsrField } from '../support/acme-client.ts';
import { type Answer, openGround } from './acme-intake.ts';
import { startOwnRedis } from './own-redis.ts';

const own = await startOwnRedis();
const kindOf = ({ json }: Answer) => String(json.type).replace('urn:ietf:params:acme:error:', '');
const issuedBy = { account: 'account', directory: 'https://ca.example/dir' };

type Ground = Awaited<ReturnType<typeof open>>;

/** A worker of one CA, and two accounts. */
async function open() {
  await using stack = new AsyncDisposableStack();
  const ground = stack.use(await openGround(own));
  const { begun } = ground.openWorker(({ identifiers, block }) => {
    const { leaf, issuer } = makeIssued({ names: identifiers.map(({ value }) => `DNS:${value}`).join(',') });
    return { outcome: 'issued', block, chain: leaf + issuer, issuedBy };
  });
  const [one, two] = [await ground.openAccount('account-1'), await ground.openAccount('account-2')];
  const running = stack.move();
  return { begun, one, two, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** An order to its end. @returns what its sign job was told to replace, and the id of what was issued */
async function issue(
  { begun }: Ground,
  { post, newOrder }: Ground['one'],
  names: string[],
  replaces?: string,
) {
  const order = await newOrder(names, { replaces });
  assert.equal(order.json.replaces, replaces);
  const csr = makeCsr({ names: names.map(name => `DNS:${name}`).join(',') });
  const done = await post(order.json.finalize, { csr: toCsrField(csr) });
  assert.deepEqual([done.json.status, done.json.replaces], ['valid', replaces], done.text);
  const { text } = await post(done.json.certificate);
  const { data } = begun.at(-1) as { data: SignJobData };
  return { id: renewalInfoId(text) ?? '', told: data.replaces };
}

test('an order says what it replaces, the CA that issued that is told, and it is replaced once', async () => {
  await using ground = await open();
  const { one } = ground;
  const old = await issue(ground, one, ['a.example.org', 'b.example.org']);
  assert.equal(old.told, undefined);
  const ready = await one.newOrder(['b.example.org'], { replaces: old.id }); // one that nobody finalizes
  assert.equal(ready.json.status, 'ready');
  const next = await issue(ground, one, ['b.example.org', 'c.example.org'], old.id);
  assert.deepEqual(next.told, { id: old.id, directory: issuedBy.directory });

  const identifiers = [{ type: 'dns', value: 'a.example.org' }];
  const again = await one.post('/new-order', { identifiers, replaces: old.id });
  assert.deepEqual([again.status, kindOf(again)], [409, 'alreadyReplaced']);
  assert.deepEqual((await issue(ground, one, ['c.example.org'], next.id)).told?.id, next.id);
});

test('what is of another account, of other names, or unknown is passed over, and tells nothing', async () => {
  await using ground = await open();
  const { one, two } = ground;
  const old = await issue(ground, one, ['a.example.org']);
  await issue(ground, one, ['a.example.org'], old.id);
  for (const [account, name, replaces] of [
    [two, 'a.example.org', old.id],
    [one, 'z.example.org', old.id],
    [one, 'a.example.org', 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE'],
  ] as const)
    assert.equal((await issue(ground, account, [name], replaces)).told, undefined);
});

test('an order that says nonsense of what it replaces is malformed', async () => {
  await using ground = await open();
  const identifiers = [{ type: 'dns', value: 'a.example.org' }];
  const wrong = [
    7,
    null,
    {},
    'abc',
    'a.b.c',
    'abc.',
    '.abc',
    'ab.c',
    'a b.cd',
    `${'a'.repeat(200)}.cd`,
    'abd.AIdlQyE=',
  ];
  for (const replaces of wrong) {
    const answer = await ground.one.post('/new-order', { identifiers, replaces });
    assert.deepEqual([answer.status, kindOf(answer)], [400, 'malformed'], `${replaces}`);
  }
  assert.equal((await ground.one.newOrder(['a.example.org'], { replaces: '' })).json.replaces, undefined);
});
