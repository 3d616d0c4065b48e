import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { openCaOf } from '../../../shared/ca/open-ca.ts';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import { generateKeyPem } from '../../../shared/pki/private-key.ts';
import { OWN_ACCOUNT, openAccounts, openShamanAccount } from '../../../shared/shaman/account.ts';
import { openShamanFile } from '../../../shared/shaman/file.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { startFakeCa } from '../acme/fake-ca.ts';
import { accountKeyPem, connect, never } from '../acme/open-connection.ts';
import { makeCertificate } from '../pki/openssl-csr.ts';

const problem = { type: 'urn:ietf:params:acme:error:accountDoesNotExist' };
const gone = () => new IssuanceError('gone', 'no such account', { problem });

/** A CA whose accounts are numbered, and what they were asked for in place of. */
function openGround() {
  const lost: (string | undefined)[] = [];
  const of = { name: 'shaman.json', directoryUrl: 'https://ca.example/directory', ca: undefined };
  const open = async (_: unknown, __: unknown, url?: string) => ({
    keyPem: accountKeyPem,
    url: `https://ca.example/account/${lost.push(url)}`,
  });
  const ca = openCaOf(of, open, turnedClock(0));
  const accounts = openAccounts(
    [ca],
    { all: [ca], server: of.directoryUrl },
    { log: quietLog, signal: never },
  );
  return { ca, lost, accounts };
}

test('actAs() has an account that its CA has lost made anew, and acts once more as that', async () => {
  const { ca, lost, accounts } = openGround();
  const urls: string[] = [];
  const act = async ({ accountUrl }: { accountUrl: string }) => {
    if (urls.push(accountUrl) === 1) throw gone();
    return 'done';
  };
  assert.equal(await accounts.actAs(ca, act), 'done');
  assert.deepEqual(urls, ['https://ca.example/account/1', 'https://ca.example/account/2']);
  assert.deepEqual(lost, [undefined, 'https://ca.example/account/1']);
});

test('actAs() does so once, and not for other failures', async () => {
  const { ca, lost, accounts } = openGround();
  await assert.rejects(
    accounts.actAs(ca, async () => Promise.reject(gone())),
    /no such account/,
  );
  assert.equal(lost.length, 2);
  await assert.rejects(
    accounts.actAs(ca, async () => Promise.reject(new IssuanceError('gone', 'no order'))),
    /no order/,
  );
  assert.equal(lost.length, 2);
});

const of = (name: string, host: string) =>
  openCaOf(
    { name, directoryUrl: `https://${host}/directory`, ca: undefined },
    async () => ({ keyPem: accountKeyPem, url: `https://${host}/account/1` }),
    turnedClock(0),
  );

test('issuerOf() knows the account that can fetch a certificate, or at least the CA that can be asked about it', () => {
  const [first, other] = [of('first', 'a.example'), of('other', 'b.example')];
  const server = 'https://a.example/directory';
  const parts = { log: quietLog, signal: never };
  const accounts = openAccounts([other], { all: [first, other], server }, parts);
  const directory = 'https://a.example/directory';
  assert.deepEqual(accounts.issuerOf({ account: 'first', directory }), { account: first, ca: first });
  assert.deepEqual(accounts.issuerOf({ account: 'gone', directory }), { account: undefined, ca: first });
  assert.deepEqual(accounts.issuerOf(undefined), { account: undefined, ca: first });
  const moved = { account: 'first', directory: 'https://old.example/directory' };
  assert.deepEqual(accounts.issuerOf(moved), { account: undefined, ca: undefined });

  const own = of(OWN_ACCOUNT, 'a.example');
  const owned = openAccounts([own], { all: [own, first, other], server }, parts);
  assert.deepEqual(owned.issuerOf(undefined), { account: own, ca: own });
  assert.equal(owned.find(undefined), own);
});

test("accepts() takes certificates of the accounts that are ordered from, and any for the profile's own", () => {
  const [first, other, own] = [
    of('first', 'a.example'),
    of('other', 'b.example'),
    of(OWN_ACCOUNT, 'c.example'),
  ];
  const all = [first, other];
  const parts = { log: quietLog, signal: never };
  const accounts = openAccounts([other], { all, server: 'https://c.example/directory' }, parts);
  const leaf = readCertificate(makeCertificate({ names: 'DNS:a.example', days: 90 }));
  const by = ({ name, directoryUrl }: typeof first) => ({
    leaf,
    issuedBy: { account: name, directory: directoryUrl },
  });
  assert.equal(accounts.accepts(by(other)), true);
  assert.equal(accounts.accepts(by(first)), false);
  assert.equal(accounts.accepts({ leaf }), true, "the profile's own account issued it, at no test CA");
  const owned = openAccounts([own], { all: [own, ...all], server: 'https://c.example/directory' }, parts);
  assert.equal(owned.accepts(by(first)), true);
});

test("openShamanAccount() takes concorde's key and URL to belong together, and looks up whose a key is that was replaced later", async () => {
  await using ca = await startFakeCa();
  await using dir = await tempDir();
  using connection = connect(ca.directoryUrl);
  const [keyFile, file] = [join(dir.path, 'account.pem'), openShamanFile(dir.path)];
  const open = () => openShamanAccount(connection, { file, log: quietLog }, never);
  await writeFile(keyFile, accountKeyPem);
  const url = `${ca.url}/account/concorde`;
  const concordes = { server: ca.directoryUrl, key: 'account.pem', account_id: url, domains: {} };
  await writeFile(join(dir.path, 'shaman.json'), JSON.stringify(concordes));
  for (let times = 0; times < 2; times++) assert.equal((await open()).url, url);
  assert.deepEqual(ca.requests, []);

  await writeFile(keyFile, await generateKeyPem('P-256'));
  for (let times = 0; times < 2; times++) assert.equal((await open()).url, `${ca.url}/account/1`);
  assert.equal(ca.log().filter(one => one === 'POST /new-account').length, 1);
  const { account_id } = JSON.parse(await readFile(join(dir.path, 'shaman.json'), 'utf8'));
  assert.equal(account_id, `${ca.url}/account/1`);
});
