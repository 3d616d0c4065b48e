import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { renewalInfoId } from '../../../shared/acme/renewal-info.ts';
import { kindOf } from '../../support/acme-answers.ts';
import { type AcmeClient, toCsrField, toDns } from '../../support/acme-client.ts';
import { type AcmeFleet, keyedEab, otherEab, startAcmeFleet } from '../../support/acme-fleet.ts';
import { toClientKey } from '../../support/acme-jws.ts';
import { ask } from '../../support/ask.ts';
import { callQuarryWith } from '../../support/call-quarry.ts';
import { makeCsr } from '../../support/csr.ts';
import { setRenewalInfo, windowFromNow } from '../../support/set-renewal-info.ts';
import { waitUntil } from '../../support/wait-until.ts';

// What becomes of an ACME client's certificate after it was issued: it is renewed, replaced and revoked.

const day = 24 * 3_600_000;

let acme: AcmeFleet;
let client: AcmeClient;
/** They are in the inventory by the time that an operator asks for them. */
let held: { reissued: Issued; revoked: Issued; other: Issued };
before(async () => {
  acme = await startAcmeFleet({
    roles: ['intake', 'worker', 'responder', 'scheduler'],
    pebble: { profiles: { default: { description: 'the only one', validityPeriod: 90 * 86_400 } } },
  });
  client = await openClient();
  const [reissued, revoked, other] = [await issue('reissue'), await issue('revoke'), await issue('other')];
  held = { reissued, revoked, other };
});
after(async () => {
  client?.[Symbol.dispose]();
  await acme?.[Symbol.asyncDispose]();
});

async function openClient(): Promise<AcmeClient> {
  const opened = await acme.open();
  await opened.newAccount({ termsOfServiceAgreed: true }, { eab: keyedEab });
  return opened;
}

type Issued = { chain: string; leaf: string; id: string; keyPem: string; account: string };

async function issue(name: string, { by = client, replaces }: { by?: AcmeClient; replaces?: string } = {}) {
  const identifiers = toDns(`${name}.example.org`);
  const placed = await by.newOrder({ identifiers, ...(replaces !== undefined && { replaces }) });
  assert.equal(placed.order.replaces, replaces);
  const { csrPem, keyPem } = await makeCsr({ names: [`${name}.example.org`] });
  const order = await by.finalize(placed, csrPem);
  assert.equal(order.status, 'valid', JSON.stringify(order.error));
  const chain = await by.certificate(order.certificate ?? '');
  const leaf = chain.slice(0, chain.indexOf('-----END') + 25);
  const account = by.kid.split('/').at(-1) ?? '';
  const issued: Issued = { chain, leaf, id: renewalInfoId(chain) ?? '', keyPem, account };
  return issued;
}

type Info = { suggestedWindow: { start: string; end: string }; explanationURL?: string };

async function renewalInfo({ id }: Pick<Issued, 'id'>, url = client.directory.renewalInfo) {
  const { status, headers, body } = await ask(`${url}/${id}`, { ca: acme.ca });
  assert.equal(status, 200, body);
  const info = JSON.parse(body) as Info;
  const { start, end } = info.suggestedWindow;
  assert.ok(Number(headers['retry-after']) >= 60, 'a Retry-After');
  assert.ok(Date.parse(start) < Date.parse(end));
  return { ...info, isPast: Date.parse(end) < Date.now() };
}

/** As if the time had come at which the CA wants to be asked again. */
const forgetWindow = ({ id }: Issued) => acme.fleet.redisClient.del(`{quarry}:acme:renewal-info:${id}`);

const revoke = (leaf: string, by = client, more: Record<string, unknown> = {}) =>
  by.post(by.directory.revokeCert, { certificate: toCsrField(leaf), ...more });

suite('renewal information', () => {
  test("is the CA's, which is asked once; and once the CA takes it back, the client's successor names what it replaces", async () => {
    const { fleet } = acme;
    const old = await issue('ca');
    const direct = {
      ca: readFileSync(fleet.pebble.caFile, 'utf8'),
      headers: { 'User-Agent': 'quarry-test' },
    };
    const directory = JSON.parse((await ask(fleet.pebble.directoryUrl, direct)).body);
    const own = await renewalInfo(old);
    const said = JSON.parse((await ask(`${directory.renewalInfo}/${old.id}`, direct)).body) as Info;
    const toSecond = (time: string) => Math.floor(Date.parse(time) / 1_000);
    // Pebble reckons from the moment of the question.
    assert.ok(Math.abs(toSecond(own.suggestedWindow.start) - toSecond(said.suggestedWindow.start)) < 3_600);
    assert.equal(own.isPast, false);
    const asked = () => fleet.ca.requests().filter(({ path }) => path.includes(old.id)).length;
    const before = asked();
    for (let at = 0; at < 5; at++) await renewalInfo(old);
    assert.equal(asked(), before);

    await setRenewalInfo(fleet.pebble, old.chain, windowFromNow(-2 * day, -day, 'https://ca.example/why'));
    await forgetWindow(old);
    const moved = await renewalInfo(old);
    assert.deepEqual([moved.isPast, moved.explanationURL], [true, 'https://ca.example/why']);

    await issue('ca', { replaces: old.id });
    assert.ok(
      fleet.ca.requests().some(({ replaces }) => replaces === old.id),
      'the CA was told what is replaced',
    );
    const again = await client.post(client.directory.newOrder, {
      identifiers: toDns('ca.example.org'),
      replaces: old.id,
    });
    assert.deepEqual([again.status, kindOf(again.problem)], [409, 'alreadyReplaced']);
  });

  test('is 404 for what no ACME client got here, and the CA hears nothing of it', async () => {
    const before = acme.fleet.ca.requests().length;
    for (const id of ['aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE', 'nonsense']) {
      const { status } = await ask(`${client.directory.renewalInfo}/${id}`, { ca: acme.ca });
      assert.equal(status, 404);
    }
    assert.equal(acme.fleet.ca.requests().length, before);
  });
});

test('a client that comes with a certificate of elsewhere, or of another account, gets its new one all the same', async () => {
  const old = await issue('moved');
  const other = await openClient();
  await issue('moved', { by: other, replaces: old.id });
  await issue('moved', { replaces: 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE' });
  await issue('moved', { replaces: old.id });
  other[Symbol.dispose]();
});

suite('revocation', () => {
  const assertRevoked = async ({ chain }: Issued, reason: number | undefined) =>
    assert.deepEqual(await acme.fleet.pebble.certificateStatus(chain), { status: 'Revoked', reason });

  test('by the account that ordered; the window is past then, and a second one is alreadyRevoked', async () => {
    const one = await issue('revoked');
    const done = await revoke(one.leaf, client, { reason: 4 });
    assert.deepEqual([done.status, done.body], [200, ''], done.body);
    await assertRevoked(one, 4);
    assert.equal((await renewalInfo(one)).isPast, true);
    assert.equal(kindOf((await revoke(one.leaf)).problem), 'alreadyRevoked');
  });

  test('by the key of the certificate, without an account, which is blocked as compromised', async () => {
    const one = await issue('by-key');
    const key = toClientKey(createPrivateKey(one.keyPem));
    const payload = { certificate: toCsrField(one.leaf), reason: 1 };
    const done = await client.post(client.directory.revokeCert, payload, { jwk: true, key });
    assert.equal(done.status, 200, done.body);
    await assertRevoked(one, 1);
    const { stdout } = await callQuarryWith(await acme.fleet.ini(), ['keys', 'list', 'main.ini']);
    assert.match(stdout, /by-key\.example\.org/);
  });

  test('by another account that may have the name; not by one that may not', async () => {
    const one = await issue('shared');
    const other = await openClient();
    const stranger = await acme.open();
    await stranger.newAccount({ termsOfServiceAgreed: true }, { eab: otherEab });
    const refused = await revoke(one.leaf, stranger);
    assert.deepEqual([refused.status, kindOf(refused.problem)], [403, 'unauthorized']);
    assert.equal((await revoke(one.leaf, other)).status, 200);
    await assertRevoked(one, undefined);
    other[Symbol.dispose]();
    stranger[Symbol.dispose]();
  });
});

suite('an operator', () => {
  test('finds the certificates of ACME clients, with who has them, and has them reissued and revoked', async () => {
    const { reissued, revoked, other } = held;
    const ini = await acme.fleet.ini();
    const agreed = await callQuarryWith(ini, [
      'reissue',
      '--yes',
      '--account',
      'default',
      'reissue.*',
      'main.ini',
    ]);
    assert.deepEqual(
      [agreed.code, agreed.stderr, agreed.stdout],
      [
        ...[0, ''],
        '1 certificate is to be renewed by its ACME client (1 of account default):\n' +
          '    reissue.example.org (an ACME client has it)\n' +
          'ACME clients renew theirs when they next ask for renewal information\n',
      ],
    );
    assert.equal((await renewalInfo(reissued)).isPast, true);

    const list = () => callQuarryWith(ini, ['certificates', 'revoke.example.org', 'main.ini']);
    const holder = new RegExp(
      `block "keyed"\n.*by hmac key 1, client account ${revoked.account} from 127.0.0.1`,
    );
    await waitUntil('the inventory', async () => holder.test((await list()).stdout));
    const done = await callQuarryWith(ini, ['revoke', '--yes', 'revoke.example.org', 'main.ini']);
    assert.deepEqual([done.code, done.stderr], [0, '']);
    assert.equal((await renewalInfo(revoked)).isPast, true);
    assert.equal((await renewalInfo(other)).isPast, false);
  });
});
