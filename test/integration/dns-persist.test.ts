import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, beforeEach, test } from 'node:test';
import { check } from '../../services/cli/check.ts';
import { assertChain } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';

const issuer = 'pebble.letsencrypt.org';
const fleet = await startFleet({ roles: [] });
after(() => fleet[Symbol.asyncDispose]());

const blocks = `
[verification "persist"]
type = dns-persist-01
draft = 01
resolver = ${fleet.pebble.dnsServer}

[auth "persist"]
all = yes
domain = mail.persist.example
domain = wild.persist.example
domain = *.wild.persist.example
verification = persist

[auth "either"]
all = yes
domain = either.example
verification = persist, http
`;
await Promise.all((['intake', 'worker', 'responder'] as const).map(role => fleet.start(role, { blocks })));

beforeEach(() => fleet.ca.reset());
afterEach(() => fleet.letGo());

/** What `quarry check` says on the machine of a worker. */
async function checked(): Promise<string> {
  const file = join(fleet.dir, 'main.ini');
  await writeFile(file, await fleet.ini({ blocks }));
  let output = '';
  await check([file], {}, text => {
    output += text;
  });
  return output;
}

async function publish(host: string, value: string): Promise<void> {
  const body = JSON.stringify({ host: `${host}.`, value });
  const { status } = await fetch(`${fleet.pebble.challtestsrvUrl}/set-txt`, { method: 'POST', body });
  assert.equal(status, 200);
}

async function sign(...names: string[]) {
  const { csrPem, keyPem } = await makeCsr({ names });
  return { ...(await fleet.post(csrPem)), keyPem, names };
}

async function assertIssued({ status, body, keyPem, names }: Awaited<ReturnType<typeof sign>>) {
  assert.equal(status, 200, body);
  assertChain(body, { names, keyPem, rootPem: await fleet.pebble.rootPem() });
}

const told = () =>
  fleet.ca.requests().filter(({ kind, postAsGet }) => kind === 'challenge' && !postAsGet).length;

test('quarry check prints the records that prove the names, once they stand', async () => {
  const output = await checked();
  const [, heading, ...rest] = /^(TXT records .*:)\n((?: {2}.*\n)+)/m.exec(output) ?? [];
  assert.equal(heading, 'TXT records to publish for verification "persist":');
  const records = [...(rest[0] ?? '').matchAll(/^ {2}(\S+) TXT "([^"]+)"$/gm)].map(([, name, value]) => [
    name,
    value,
  ]);
  assert.deepEqual(
    records.map(([name, value]) => [name, value?.replace(/https:\S+?(?=;|$)/, 'URL')]),
    [
      ['_validation-persist.mail.persist.example', `${issuer}; accounturi=URL`],
      ['_validation-persist.wild.persist.example', `${issuer}; accounturi=URL; policy=wildcard`],
      ['_validation-persist.either.example', `${issuer}; accounturi=URL`],
    ],
  );

  for (const [name = '', value = ''] of records) if (!name.includes('either')) await publish(name, value);
  await assertIssued(await sign('mail.persist.example'));
  await assertIssued(await sign('wild.persist.example', '*.wild.persist.example'));
  assert.equal(told(), 3);
});

test('where no record stands the client is told what to publish, and the CA counts no failed validation', async () => {
  const { status, body } = await sign('either.example');
  assert.equal(status, 421);
  assert.match(
    body,
    /^either\.example: _validation-persist\.either\.example TXT: there is no such record; publish "pebble\.letsencrypt\.org; accounturi=https:\S+", after \d+ s\n$/,
  );
  assert.equal(told(), 0);
});

test('where the CA does not offer it the next verification is used', async () => {
  fleet.ca.rule({
    kind: 'authorization',
    do: {
      rewrite({ body }) {
        const authorization = JSON.parse(body) as { challenges: { type: string }[] };
        const challenges = authorization.challenges.filter(({ type }) => type !== 'dns-persist-01');
        return { body: JSON.stringify({ ...authorization, challenges }) };
      },
    },
  });
  await assertIssued(await sign('either.example'));
});
