import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { kindOf } from '../../support/acme-answers.ts';
import { toDns } from '../../support/acme-client.ts';
import { keyedEab, startAcmeFleet } from '../../support/acme-fleet.ts';
import { callQuarryIn } from '../../support/call-quarry.ts';
import { makeCsr } from '../../support/csr.ts';
import { waitUntil } from '../../support/wait-until.ts';

// By what the accounts of ACME clients are bound, as an operator gives it, and takes it away.

const acme = await startAcmeFleet();
after(() => acme[Symbol.asyncDispose]());
const { fleet } = acme;
const intake = fleet.all('intake')[0] ?? assert.fail('an intake runs');
const file = join(intake.folder, 'main.ini');

/** Another configuration of the intake, and a command beside it. */
async function reload(from: string, to: string): Promise<void> {
  const taken = () => intake.log().filter(({ msg }) => msg === 'configuration taken over').length;
  const before = taken();
  const text = await readFile(file, 'utf8');
  assert.ok(text.includes(from));
  await writeFile(file, text.replace(from, to));
  process.kill(intake.pid, 'SIGHUP');
  await waitUntil('the configuration to be taken over', () => taken() > before);
}

async function quarry(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await callQuarryIn(intake.folder, [...words, 'main.ini']);
  assert.equal(code, 0, stderr);
  return stdout;
}

const idOf = (url: string) => url.slice(url.lastIndexOf('/') + 1);
const detailOf = ({ problem }: { problem?: { detail?: string } }) => problem?.detail ?? '';

test('a one-time token binds an account that orders one certificate', async () => {
  const names = ['web1.tokens.example'];
  const shown = await quarry('token', 'add', '--names', names.join(), '--once', 'web1');
  const [, kid = '', key = ''] = /^EAB key id: (\S+)\nEAB key: +(\S+)$/m.exec(shown) ?? [];
  const eab = { kid, key: Buffer.from(key, 'base64url') };
  using client = await acme.open();
  assert.equal((await client.newAccount({}, { eab })).status, 201);
  const foreign = await client.post(client.directory.newOrder, { identifiers: toDns('web2.tokens.example') });
  assert.equal(foreign.problem && kindOf(foreign.problem), 'rejectedIdentifier');
  const placed = await client.newOrder({ identifiers: toDns(...names) });
  const { status, certificate = '' } = await client.finalize(placed, (await makeCsr({ names })).csrPem);
  assert.equal(status, 'valid');
  await client.certificate(certificate);

  const again = await client.post(client.directory.newOrder, { identifiers: toDns(...names) });
  assert.equal(detailOf(again), 'the token was for one certificate, and has been used');
  const listed = await quarry('acme-accounts');
  const own = new RegExp(
    `^${idOf(client.kid)} {2}valid, last seen .*, 1 certificate\\n {4}bound to the auth block "tokens" by token web1$`,
    'm',
  );
  assert.match(listed, own);
});

test('a key that is taken out shuts its accounts out at once, and binding them anew lets them in again', async () => {
  using client = await acme.open();
  await client.newAccount({}, { eab: keyedEab });
  const url = client.kid;
  const names = ['www.example.org'];
  const placed = await client.newOrder({ identifiers: toDns(...names) });
  const { csrPem } = await makeCsr({ names });
  const csr = Buffer.from(csrPem.replace(/-----[^-]+-----/g, ''), 'base64').toString('base64url');

  const newKey = 'another-key-of-the-block-keyed-0123456789';
  await reload(`hmac_key = ${keyedEab.key}\n`, `hmac_key = ${newKey}\nhmac_key = ${keyedEab.key}\n`);
  await client.newOrder({ identifiers: toDns('rotated.example.org') });
  await reload(`hmac_key = ${keyedEab.key}\n`, '');
  for (const refused of [
    await client.post(client.directory.newOrder, { identifiers: toDns(...names) }),
    await client.post(placed.order.finalize, { csr }),
  ]) {
    assert.equal(refused.problem && kindOf(refused.problem), 'unauthorized');
    assert.match(
      detailOf(refused),
      /with this external account binding: .* register anew with both as quarry check --eab /,
    );
  }
  assert.match(await quarry('acme-accounts'), /\n {4}no binding any more to keyed: /);

  const bound = await client.newAccount({}, { eab: { ...keyedEab, key: newKey } });
  assert.deepEqual([bound.status, client.kid], [200, url]);
  assert.equal((await client.finalize(placed, csrPem)).status, 'valid');
});

test('an account that an operator deactivates is good for nothing any more', async () => {
  using client = await acme.open({ from: '127.0.0.2' });
  await client.newAccount();
  assert.equal(
    await quarry('acme-accounts', 'deactivate', idOf(client.kid)),
    `deactivated: ${idOf(client.kid)}\n`,
  );
  const refused = await client.post(client.kid, undefined);
  assert.deepEqual([refused.status, detailOf(refused)], [401, 'the account is deactivated']);
});
