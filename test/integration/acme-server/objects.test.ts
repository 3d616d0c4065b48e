import assert from 'node:assert/strict';
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { after, suite, test } from 'node:test';
import {
  type AccountObject,
  type AcmeIdentifier,
  type AuthorizationObject,
  type ChallengeObject,
  checkAuthorization,
  checkChallenge,
  kindOf,
  linksOf,
  type OrderObject,
  readObject,
} from '../../support/acme-answers.ts';
import {
  type AcmeAnswer,
  type AcmeClient,
  type AcmeClientOptions,
  type NewOrder,
  toCsrField,
  toDns,
} from '../../support/acme-client.ts';
import { keyedEab, nearAddress, otherEab, startAcmeFleet } from '../../support/acme-fleet.ts';
import { bindAccount, type EabKey, makeClientKey, toBase64url, toClientKey } from '../../support/acme-jws.ts';
import { ask } from '../../support/ask.ts';
import { assertChain, leafNames } from '../../support/chain.ts';
import { makeCsr } from '../../support/csr.ts';

// What an ACME server does with accounts, orders, authorizations and certificates: RFC 8555 section 7 to 11,
// RFC 8738 for addresses, RFC 9773 for renewal information, and draft-ietf-acme-profiles. conformance.md has
// the table.

const acme = await startAcmeFleet({
  roles: ['intake', 'intake', 'worker', 'responder'],
  acme: `website = https://quarry.example.org/help
caa-identity = ca.example.org
profile = shortlived: six days`,
});
after(() => acme[Symbol.asyncDispose]());
const { fleet } = acme;

async function open(options: Partial<AcmeClientOptions> = {}): Promise<AcmeClient> {
  const client = await acme.open(options);
  after(() => client[Symbol.dispose]());
  return client;
}

async function openAccount(eab: EabKey | undefined = keyedEab, options: Partial<AcmeClientOptions> = {}) {
  const client = await open(options);
  const made = await client.newAccount({}, { eab });
  assert.equal(made.status, 201, made.body);
  return client;
}

/** A host without a key, that the block `near` knows by its address. */
async function openNear(): Promise<AcmeClient> {
  const client = await open({ from: nearAddress });
  const made = await client.newAccount();
  assert.equal(made.status, 201, made.body);
  return client;
}

const client = await openAccount();
const { directory } = client;
let names = 0;
const freshName = (domain = 'example.org') => `w${++names}-${randomBytes(3).toString('hex')}.${domain}`;

function assertRefused(answer: AcmeAnswer, status: number, ...kinds: string[]): void {
  assert.equal(answer.status, status, answer.body);
  assert.ok(kinds.includes(kindOf(answer.problem) ?? ''), answer.body);
}

/** A certificate of a client's, and how it came to it. */
async function issue(by = client, identifiers = toDns(freshName()), more: Partial<NewOrder> = {}) {
  const placed = await by.newOrder({ identifiers, ...more });
  const dns = identifiers.filter(({ type }) => type === 'dns').map(({ value }) => value);
  const ips = identifiers.filter(({ type }) => type === 'ip').map(({ value }) => value);
  const csr = await makeCsr({ names: dns, ips });
  const order = await by.finalize(placed, csr.csrPem);
  assert.equal(order.status, 'valid', JSON.stringify(order.error));
  const chain = await by.certificate(order.certificate ?? '');
  return { ...placed, ended: order, csr, chain, leaf: new X509Certificate(chain), names: dns };
}

const shared = issue();

const revoke = (by: AcmeClient, chain: string, more: object = {}, twist = {}) =>
  by.post(by.directory.revokeCert, { certificate: toDer(chain), ...more }, twist);

const toDer = (chain: string) => new X509Certificate(chain).raw.toString('base64url');

suite('RFC 8555 section 7.1.1, directory', () => {
  test('the directory has the URLs of what the server does, and no newAuthz', () => {
    for (const url of [
      directory.newNonce,
      directory.newAccount,
      directory.newOrder,
      directory.revokeCert,
      directory.keyChange,
      directory.renewalInfo ?? '',
    ])
      assert.ok(url.startsWith(`${acme.base}/`), url);
    assert.equal(directory.newAuthz, undefined);
  });

  test('its metadata have registered names, and say what is configured', () => {
    assert.deepEqual(directory.meta, {
      website: 'https://quarry.example.org/help',
      caaIdentities: ['ca.example.org'],
      externalAccountRequired: false,
      profiles: { shortlived: 'six days' },
    });
  });
});

suite('RFC 8555 section 7.3, accounts', () => {
  test('a new account is 201, with its URL and its object', async () => {
    const own = await open();
    const contact = ['mailto:admin@example.org'];
    const made = await own.newAccount({ contact, termsOfServiceAgreed: true }, { eab: keyedEab });
    const account = readObject<AccountObject>(made, [201]);
    assert.deepEqual([account.status, account.contact], ['valid', contact]);
    assert.ok(account.orders?.startsWith(`${acme.base}/`));
  });

  test('fields that the server does not know, and orders, are ignored, and are not shown', async () => {
    const own = await open();
    const odd = { orders: 'https://example.org/orders', status: 'deactivated', colour: 'blue', id: 7 };
    const account = readObject<AccountObject>(await own.newAccount(odd, { eab: keyedEab }), [201]);
    assert.ok(account.orders?.startsWith(acme.base));
    assert.equal(account.status, 'valid');
    assert.deepEqual(
      Object.keys(account).filter(name => ['colour', 'id'].includes(name)),
      [],
    );
  });

  test('contacts that are no mailto are unsupported, and those that are wrong are invalid', async () => {
    const own = await open();
    for (const [contact, kind] of [
      ['tel:+49123', 'unsupportedContact'],
      ['https://example.org', 'unsupportedContact'],
      ['mailto:a@example.org?subject=x', 'invalidContact'],
      ['mailto:a@example.org,b@example.org', 'invalidContact'],
      ['mailto:', 'invalidContact'],
      ['mailto:a@example.org%0d%0aBcc:b@example.org', 'invalidContact'],
    ] as const)
      assertRefused(await own.newAccount({ contact: [contact] }, { eab: keyedEab }), 400, kind);
    for (const contact of ['mailto:a@example.org', [7], [{}]])
      assertRefused(
        await own.newAccount({ contact }, { eab: keyedEab }),
        400,
        'malformed',
        'invalidContact',
        'unsupportedContact',
      );
    assertRefused(await own.newAccount({ onlyReturnExisting: true }), 400, 'accountDoesNotExist');
  });

  test('an account that is there is 200 with its URL, as it was before, and fields of the request are ignored', async () => {
    const own = await open();
    const contact = ['mailto:first@example.org'];
    const made = await own.newAccount({ contact }, { eab: keyedEab });
    const again = await own.newAccount({ contact: ['mailto:second@example.org'] });
    assert.deepEqual([again.status, again.headers.location], [200, made.headers.location]);
    assert.deepEqual(readObject<AccountObject>(again).contact, contact);
  });

  test('onlyReturnExisting finds an account without a binding, and makes none', async () => {
    const own = await open();
    for (let times = 0; times < 2; times++)
      assertRefused(await own.newAccount({ onlyReturnExisting: true }), 400, 'accountDoesNotExist');
    const made = await own.newAccount({}, { eab: keyedEab });
    const found = await own.newAccount({ onlyReturnExisting: true });
    assert.deepEqual([found.status, found.headers.location], [200, made.headers.location]);
  });

  test('an update changes the contacts, and nothing else', async () => {
    const own = await openAccount();
    const before = await own.readAccount();
    const contact = ['mailto:new@example.org'];
    const odd = { orders: 'x', termsOfServiceAgreed: false, status: 'valid', colour: 'blue' };
    const after = readObject<AccountObject>(await own.post(own.kid, { contact, ...odd }));
    assert.deepEqual(after, { ...before, contact });
    assert.deepEqual(await own.readAccount(), after);
  });

  test('a deactivated account is 401 unauthorized for everything, and its key makes no other', async () => {
    const own = await openAccount();
    const { url } = await own.newOrder({ identifiers: toDns(freshName()) });
    const ended = readObject<AccountObject>(await own.post(own.kid, { status: 'deactivated' }));
    assert.equal(ended.status, 'deactivated');
    for (const [where, payload] of [
      [own.kid, undefined],
      [own.kid, { status: 'valid' }],
      [url, undefined],
      [directory.newOrder, { identifiers: toDns(freshName()) }],
      [directory.revokeCert, { certificate: toDer((await shared).chain) }],
    ] as const)
      assertRefused(await own.post(where, payload), 401, 'unauthorized');
    assertRefused(await own.changeKey(makeClientKey()), 401, 'unauthorized');
    const anew = await own.post(directory.newAccount, {}, { jwk: true });
    assert.ok([401, 403].includes(anew.status), anew.body);
  });

  test('only its own key deactivates an account', async () => {
    const [own, other] = [await openAccount(), await openAccount()];
    const answer = await other.post(own.kid, { status: 'deactivated' });
    assert.ok([401, 403, 404].includes(answer.status), answer.body);
    assert.equal((await own.readAccount()).status, 'valid');
  });

  test('the list of orders has the client’s own, page by page, and none that is invalid', async () => {
    const own = await openAccount();
    const { orders = '' } = await own.readAccount();
    assert.deepEqual(readObject(await own.post(orders, undefined)), { orders: [] });
    const [one, two] = [
      await own.newOrder({ identifiers: toDns(freshName()) }),
      await own.newOrder({ identifiers: toDns(freshName()) }),
    ];
    assert.deepEqual((await listOrders(own, orders)).sort(), [one.url, two.url].sort());
    await own.post(one.order.authorizations[0] ?? '', { status: 'deactivated' });
    assert.equal((await own.readOrder(one.url)).status, 'invalid');
    assert.deepEqual(await listOrders(own, orders), [two.url]);
  });
});

async function listOrders(by: AcmeClient, url: string): Promise<string[]> {
  const answer = await by.post(url, undefined);
  const { orders } = readObject<{ orders: string[] }>(answer);
  const [next] = linksOf(answer, 'next');
  return next === undefined ? orders : [...orders, ...(await listOrders(by, next))];
}

suite('RFC 8555 section 7.3.4, external account binding', () => {
  /** A newAccount with a binding that is not as it should be. */
  async function bind(binding: unknown): Promise<AcmeAnswer> {
    const own = await open();
    const value = typeof binding === 'function' ? binding(own) : binding;
    const answer = await own.post(directory.newAccount, { externalAccountBinding: value }, { jwk: true });
    assertRefused(await own.newAccount({ onlyReturnExisting: true }), 400, 'accountDoesNotExist');
    return answer;
  }
  const url = directory.newAccount;
  const { jwk } = makeClientKey();

  test('a binding by each algorithm is taken, and shown as it came', async () => {
    for (const alg of ['HS256', 'HS384', 'HS512'] as const) {
      const own = await open();
      const externalAccountBinding = bindAccount({ ...keyedEab, alg }, url, own.key.jwk);
      const made = await own.newAccount({ externalAccountBinding });
      assert.deepEqual(readObject<AccountObject>(made, [201]).externalAccountBinding, externalAccountBinding);
    }
  });

  test('a binding that is no JWS is refused', async () => {
    for (const one of [7, 'x', [], {}, { protected: '', payload: '', signature: '' }])
      assertRefused(await bind(one), 400, 'malformed');
    const compact = (own: AcmeClient) => Object.values(bindAccount(keyedEab, url, own.key.jwk)).join('.');
    assertRefused(await bind(compact), 400, 'malformed');
  });

  test('a binding by a signature or by no algorithm at all is refused', async () => {
    for (const alg of ['ES256', 'none', 'RS256', undefined]) {
      const odd = (own: AcmeClient) => bindAccount(keyedEab, url, own.key.jwk, { alg });
      const answer = await bind(odd);
      assert.ok([400, 401, 403].includes(answer.status), answer.body);
      assert.notEqual(kindOf(answer.problem), 'badNonce');
    }
  });

  test('a binding with a nonce, or for another URL, is refused', async () => {
    for (const more of [
      { nonce: 'AAAA' },
      { url: `${url}/` },
      { url: directory.newOrder },
      { url: undefined },
    ]) {
      const answer = await bind((own: AcmeClient) => bindAccount(keyedEab, url, own.key.jwk, more));
      assert.ok([400, 401, 403].includes(answer.status), answer.body);
      assert.notEqual(kindOf(answer.problem), 'badNonce');
    }
  });

  test('a binding of a key id that nobody has, or with another’s key, is refused, and both alike', async () => {
    const wrong = [
      { ...keyedEab, key: otherEab.key },
      { ...keyedEab, kid: otherEab.kid },
      { ...keyedEab, kid: 'nobody' },
      { ...keyedEab, kid: 'near' },
      { ...keyedEab, kid: '__proto__' },
    ];
    const answers = [];
    for (const eab of wrong)
      answers.push(await bind((own: AcmeClient) => bindAccount(eab, url, own.key.jwk)));
    for (const { status, problem } of answers) {
      assert.ok([400, 401, 403].includes(status));
      assert.equal(problem?.detail, answers[0]?.problem?.detail);
    }
  });

  test('a binding of another account key is refused', async () => {
    const answer = await bind(bindAccount(keyedEab, url, jwk));
    assert.ok([400, 401, 403].includes(answer.status), answer.body);
  });

  test('a client that no block knows without a binding is asked for one', async () => {
    const own = await open();
    assertRefused(await own.newAccount(), 403, 'externalAccountRequired');
    assertRefused(await own.newAccount({ onlyReturnExisting: true }), 400, 'accountDoesNotExist');
  });
});

suite('RFC 8555 section 7.3.5, key change', () => {
  test('an account goes over to another key, with its orders, and the old key is no longer good', async () => {
    const own = await openAccount();
    const { key } = own;
    const placed = await own.newOrder({ identifiers: toDns(freshName()) });
    const changed = await own.changeKey(makeClientKey('EdDSA'));
    assert.equal(changed.status, 200, changed.body);
    for (let round = 0; round < 4; round++) {
      assert.equal((await own.readOrder(placed.url)).status, placed.order.status);
      const old = await own.post(own.kid, undefined, { key });
      assert.ok([400, 401, 403].includes(old.status), old.body);
    }
    const found = await own.newAccount({ onlyReturnExisting: true });
    assert.equal(found.headers.location, own.kid);
    assertRefused(
      await own.post(directory.newAccount, { onlyReturnExisting: true }, { jwk: true, key }),
      400,
      'accountDoesNotExist',
    );
  });

  test('a key that another account has is 409, and the answer has the URL of that account', async () => {
    const [own, other] = [await openAccount(), await openAccount()];
    const answer = await own.changeKey(other.key);
    assert.equal(answer.status, 409, answer.body);
    assert.equal(answer.headers.location, other.kid);
    assert.equal((await own.readAccount()).status, 'valid');
    assert.equal((await other.readAccount()).status, 'valid');
  });

  test('a key change of which anything is wrong changes nothing', async () => {
    const own = await openAccount();
    const other = await openAccount();
    const oldKey = own.key.jwk;
    const account = own.kid;
    const set = (more: object) => (header: Record<string, unknown>) => ({ ...header, ...more });
    const wrong: Parameters<AcmeClient['changeKey']>[1][] = [
      { inner: { jws: () => 'x' } },
      { inner: { jws: jws => ({ ...jws, header: {} }) } },
      { inner: { header: set({ jwk: undefined }) } },
      { inner: { header: set({ jwk: undefined, kid: own.kid }) } },
      { inner: { header: set({ kid: own.kid }) } },
      { inner: { header: set({ alg: 'none' }) } },
      { inner: { header: set({ alg: 'HS256' }) } },
      { inner: { key: makeClientKey() } },
      { inner: { header: set({ url: directory.newOrder }) } },
      { inner: { header: set({ url: undefined }) } },
      { inner: { header: set({ nonce: 'AAAA' }) } },
      { payload: {} },
      { payload: [] },
      { payload: { oldKey } },
      { payload: { account } },
      { payload: { account: other.kid, oldKey } },
      { payload: { account: `${account}/`, oldKey } },
      { payload: { account, oldKey: makeClientKey().jwk } },
      { payload: { account, oldKey: other.key.jwk } },
      { payload: { account, oldKey: 'x' } },
    ];
    for (const twist of wrong) {
      const answer = await own.changeKey(makeClientKey(), twist);
      assert.ok([400, 401, 403].includes(answer.status), `${answer.status} ${answer.body}`);
      assert.notEqual(kindOf(answer.problem), 'badNonce');
      assert.equal((await own.readAccount()).status, 'valid');
    }
    const weak = await own.changeKey(makeClientKey('RS256', 1024));
    assertRefused(weak, 400, 'badPublicKey', 'malformed');
  });

  test('the old key in the request may have more members, and another order', async () => {
    const own = await openAccount();
    const { x, y, crv, kty } = own.key.jwk;
    const oldKey = { y, x, use: 'sig', kty, crv, kid: 'mine' };
    assert.equal(
      (await own.changeKey(makeClientKey(), { payload: { account: own.kid, oldKey } })).status,
      200,
    );
  });
});

suite('RFC 8555 section 7.4, orders', () => {
  test('an order has the identifiers that were asked for, an authorization of each, and goes on as it was', async () => {
    const identifiers = toDns(freshName(), freshName(), `*.${freshName()}`);
    const { order, url } = await client.newOrder({ identifiers });
    assert.equal(order.status, 'ready');
    const shown: AcmeIdentifier[] = [];
    for (const one of order.authorizations) {
      const { identifier, wildcard, status } = await client.readAuthorization(one);
      assert.equal(status, 'valid');
      shown.push(wildcard ? { ...identifier, value: `*.${identifier.value}` } : identifier);
    }
    assert.deepEqual(shown.map(({ value }) => value).sort(), identifiers.map(({ value }) => value).sort());
    const { identifiers: before, authorizations, expires } = order;
    const later = await client.readOrder(url);
    assert.deepEqual(later.identifiers, before);
    assert.deepEqual(later.authorizations, authorizations);
    assert.equal(later.expires, expires);
  });

  test('an order without names, or of what is no name, is refused', async () => {
    const rows: [unknown, number, ...string[]][] = [
      [[], 400, 'malformed'],
      [undefined, 400, 'malformed'],
      ['www.example.org', 400, 'malformed'],
      [[{ type: 'dns' }], 400, 'malformed'],
      [[{ value: 'www.example.org' }], 400, 'malformed'],
      [['www.example.org'], 400, 'malformed'],
      [[{ type: 'dns', value: 7 }], 400, 'malformed'],
      [[{ type: 'email', value: 'a@example.org' }], 400, 'unsupportedIdentifier'],
      [[{ type: '__proto__', value: 'www.example.org' }], 400, 'unsupportedIdentifier'],
    ];
    for (const [identifiers, status, ...kinds] of rows)
      assertRefused(await client.post(directory.newOrder, { identifiers }), status, ...kinds);
    assertRefused(await client.post(directory.newOrder, undefined), 400, 'malformed');
  });

  test('names that are none, an A-label that is wrong among them, are refused', async () => {
    const wrong = [
      'a..example.org',
      '-.example.org',
      'www.*.example.org',
      'a b.example.org',
      'ä.example.org',
    ];
    const more = ['', '*', '*.*.example.org', 'xn--0.example.org', 'www.example.org:443'];
    for (const value of [...wrong, ...more, `${'a'.repeat(64)}.example.org`, 'www.example.org\n']) {
      const answer = await client.post(directory.newOrder, { identifiers: toDns(value) });
      assert.ok([400, 403].includes(answer.status), `${value}: ${answer.status} ${answer.body}`);
      assert.ok(
        ['malformed', 'rejectedIdentifier', 'unsupportedIdentifier'].includes(kindOf(answer.problem) ?? ''),
      );
    }
  });

  test('names that the client may not have are rejected, each in a subproblem of its own', async () => {
    const [good, bad, worse] = [freshName(), freshName('example.net'), freshName('example.com')];
    const answer = await client.post(directory.newOrder, { identifiers: toDns(good, bad, worse) });
    assertRefused(answer, 403, 'rejectedIdentifier');
    const subproblems = answer.problem?.subproblems ?? [];
    assert.deepEqual(subproblems.map(({ identifier }) => identifier?.value).sort(), [bad, worse].sort());
    for (const one of subproblems) assert.equal(kindOf(one), 'rejectedIdentifier');
  });

  test('a period of validity that Quarry cannot promise is refused', async () => {
    const identifiers = toDns(freshName());
    for (const more of [{ notBefore: '2099-01-01T00:00:00Z' }, { notAfter: '2099-01-01T00:00:00Z' }]) {
      const answer = await client.post(directory.newOrder, { identifiers, ...more });
      assert.ok(answer.status >= 400 && answer.status < 500, answer.body);
    }
  });

  test('what the server does not know in an order is ignored, and not shown', async () => {
    const odd = { identifiers: toDns(freshName()), colour: 'blue', status: 'valid', certificate: 'x' };
    const { order } = await client.newOrder(odd);
    assert.deepEqual([order.status, order.certificate], ['ready', undefined]);
    assert.ok(!('colour' in order));
  });

  test('a certificate is issued for what the order says, and only once', async () => {
    const { order, url, ended, csr, names: ordered, chain } = await shared;
    assert.deepEqual(ended.identifiers, order.identifiers);
    assert.deepEqual(ended.authorizations, order.authorizations);
    const own = chain.replaceAll('-----\n-----', '-----\n\n-----');
    assertChain(own, { names: ordered, keyPem: csr.keyPem, rootPem: await fleet.pebble.rootPem() });
    const answer = await client.post(order.finalize, { csr: toCsrField(csr.csrPem) });
    assert.equal(answer.status, 200, answer.body);
    assert.deepEqual([readObject<OrderObject>(answer), answer.headers.location], [ended, url]);
    const another = await makeCsr({ names: ordered });
    const refused = await client.post(order.finalize, { csr: toCsrField(another.csrPem) });
    assertRefused(refused, 403, 'orderNotReady');
  });

  test('a CSR with other names, or that is none, is a bad CSR, and the order stays ready', async () => {
    const name = freshName();
    const { order, url } = await client.newOrder({ identifiers: toDns(name, freshName()) });
    const [, second = ''] = order.identifiers.map(({ value }) => value);
    const pems = [
      await makeCsr({ names: [name] }),
      await makeCsr({ names: [name, second, freshName()] }),
      await makeCsr({ names: [name, `*.${second}`] }),
      await makeCsr({ names: [name, second], ips: ['127.0.0.1'] }),
    ].map(({ csrPem }) => toCsrField(csrPem));
    for (const csr of [...pems, 'AAAA', toBase64url('x'.repeat(500)), ''])
      assertRefused(await client.post(order.finalize, { csr }), 400, 'badCSR');
    for (const csr of [7, null, {}, undefined])
      assertRefused(await client.post(order.finalize, { csr }), 400, 'malformed', 'badCSR');
    assertRefused(await client.post(order.finalize, undefined), 400, 'malformed', 'badCSR');
    assert.equal((await client.readOrder(url)).status, 'ready');
    const good = await makeCsr({ names: [second, name] });
    assert.equal((await client.finalize({ order, url }, good.csrPem)).status, 'valid');
  });

  test('names in a CSR count whatever their case', async () => {
    const name = freshName();
    const placed = await client.newOrder({ identifiers: toDns(name) });
    const { csrPem } = await makeCsr({ names: [name.toUpperCase()] });
    assert.equal((await client.finalize(placed, csrPem)).status, 'valid');
  });

  test('the account’s own key gets no certificate', async () => {
    const name = freshName();
    const { csrPem, keyPem } = await makeCsr({ names: [name] });
    const own = await openAccount(keyedEab, { key: toClientKey(createPrivateKey(keyPem)) });
    const placed = await own.newOrder({ identifiers: toDns(name) });
    const answer = await own.post(placed.order.finalize, { csr: toCsrField(csrPem) });
    assertRefused(answer, 400, 'badCSR');
    assert.equal((await own.readOrder(placed.url)).status, 'ready');
  });

  test('an order that fails at the CA is invalid, with a problem that names no URL of the CA', async () => {
    const name = freshName();
    await fleet.misdirect(name);
    const placed = await client.newOrder({ identifiers: toDns(name) });
    const { csrPem } = await makeCsr({ names: [name] });
    const ended = await client.finalize(placed, csrPem);
    assert.equal(ended.status, 'invalid');
    assert.ok(ended.error?.detail, JSON.stringify(ended));
    assert.ok(!JSON.stringify(ended.error).includes(new URL(fleet.pebble.directoryUrl).port));
    assertRefused(
      await client.post(placed.order.finalize, {
        csr: toCsrField((await makeCsr({ names: [name] })).csrPem),
      }),
      403,
      'orderNotReady',
    );
  });
});

suite('RFC 8555 section 7.4.2 and 9.1, certificates', () => {
  test('the chain begins with the leaf, and each certificate has issued the one before', async () => {
    const { chain } = await shared;
    const pems = chain.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];
    const certificates = pems.map(pem => new X509Certificate(pem));
    assert.ok(certificates.length >= 2);
    assert.equal(certificates[0]?.ca, false);
    for (const [at, issuer] of certificates.slice(1).entries())
      assert.ok(certificates[at]?.checkIssued(issuer));
  });

  test('a certificate stays as it is', async () => {
    const { chain, ended } = await shared;
    assert.equal(await client.certificate(ended.certificate ?? ''), chain);
  });

  test('the URLs of different things differ, and nobody can guess them', async () => {
    const { order, url, ended } = await shared;
    const other = await client.newOrder({ identifiers: order.identifiers });
    const urls = [client.kid, url, other.url, ...order.authorizations, ...other.order.authorizations];
    assert.equal(new Set([...urls, ended.certificate]).size, urls.length + 1);
    for (const one of [client.kid, url, other.url]) {
      const id = one.split('/').at(-1) ?? '';
      assert.ok(id.length >= 22, `${id} has 128 bits`);
    }
  });
});

suite('RFC 8555 section 7.5, authorizations and challenges', () => {
  test('an authorization has a valid challenge of each kind that fits, each with a token of its own', async () => {
    const { order } = await client.newOrder({ identifiers: toDns(freshName(), `*.${freshName()}`) });
    const types: string[][] = [];
    for (const url of order.authorizations) {
      const { challenges, wildcard } = await client.readAuthorization(url);
      types.push([String(wildcard ?? false), ...challenges.map(({ type }) => type).sort()]);
      assert.equal(new Set(challenges.map(({ token }) => token)).size, challenges.length);
    }
    assert.deepEqual(types.sort(), [
      ['false', 'dns-01', 'http-01', 'tls-alpn-01'],
      ['true', 'dns-01'],
    ]);
  });

  test('a challenge is read, and answered, whatever fields the response has', async () => {
    const { order } = await client.newOrder({ identifiers: toDns(freshName()) });
    const [url = ''] = order.authorizations;
    const { challenges } = await client.readAuthorization(url);
    for (const shown of challenges) {
      const read = await client.post(shown.url, undefined);
      assert.deepEqual(readObject<ChallengeObject>(read), shown);
      assert.deepEqual(linksOf(read, 'up'), [url]);
      const answered = await client.post(shown.url, { keyAuthorization: 'x', colour: 'blue' });
      checkChallenge(readObject<ChallengeObject>(answered));
      assert.deepEqual(linksOf(answered, 'up'), [url]);
    }
  });

  test('a deactivated authorization is shown so, makes its order invalid, and gets no certificate', async () => {
    const name = freshName();
    const placed = await client.newOrder({ identifiers: toDns(name, freshName()) });
    const [url = ''] = placed.order.authorizations;
    const ended = readObject<AuthorizationObject>(await client.post(url, { status: 'deactivated' }));
    checkAuthorization(ended);
    assert.equal(ended.status, 'deactivated');
    assert.equal((await client.readAuthorization(url)).status, 'deactivated');
    assert.equal((await client.readOrder(placed.url)).status, 'invalid');
    const { csrPem } = await makeCsr({ names: placed.order.identifiers.map(({ value }) => value) });
    const orders = fleet.orders();
    const refused = await client.post(placed.order.finalize, { csr: toCsrField(csrPem) });
    assertRefused(refused, 403, 'orderNotReady');
    assert.equal(fleet.orders(), orders);
  });

  test('an authorization takes no other status', async () => {
    const { order } = await client.newOrder({ identifiers: toDns(freshName()) });
    const [url = ''] = order.authorizations;
    for (const payload of [{ status: 'valid' }, { status: 'revoked' }, { status: 7 }, { colour: 'blue' }]) {
      const answer = await client.post(url, payload);
      assert.ok([200, 400].includes(answer.status), answer.body);
      assert.equal((await client.readAuthorization(url)).status, 'valid');
    }
  });
});

suite('RFC 8555 section 7.6, revocation', () => {
  test('the account that has got a certificate has it revoked, with a reason, and once', async () => {
    const { chain } = await issue();
    const done = await revoke(client, chain, { reason: 4 });
    assert.equal(done.status, 200, done.body);
    assert.deepEqual(await fleet.pebble.certificateStatus(chain), { status: 'Revoked', reason: 4 });
    assertRefused(await revoke(client, chain), 400, 'alreadyRevoked');
  });

  test('another account that may have all of the names has it revoked', async () => {
    const { chain } = await issue();
    const done = await revoke(await openAccount(), chain);
    assert.equal(done.status, 200, done.body);
  });

  test('the key of the certificate has it revoked, without an account', async () => {
    const { chain, csr } = await issue();
    const own = await open();
    const key = toClientKey(createPrivateKey(csr.keyPem));
    const done = await revoke(own, chain, { reason: 1 }, { jwk: true, key });
    assert.equal(done.status, 200, done.body);
    assert.deepEqual(await fleet.pebble.certificateStatus(chain), { status: 'Revoked', reason: 1 });
  });

  test('nobody else has it revoked', async () => {
    const { chain } = await shared;
    const other = await openAccount(otherEab);
    assertRefused(await revoke(other, chain), 403, 'unauthorized');
    assertRefused(await revoke(other, chain, {}, { jwk: true }), 403, 'unauthorized');
    assert.deepEqual((await fleet.pebble.certificateStatus(chain)).status, 'Valid');
  });

  test('a reason that no client may give is refused, and nothing is revoked', async () => {
    const { chain } = await shared;
    for (const reason of [2, 6, 7, 8, 10, 11, -1, 1.5, 1000])
      assertRefused(await revoke(client, chain, { reason }), 400, 'badRevocationReason');
    for (const reason of ['1', null, {}])
      assertRefused(await revoke(client, chain, { reason }), 400, 'badRevocationReason', 'malformed');
    assert.deepEqual((await fleet.pebble.certificateStatus(chain)).status, 'Valid');
  });

  test('what is no certificate, or none of here, is refused', async () => {
    for (const certificate of [undefined, 7, '', 'AAAA', toBase64url('x'.repeat(200))])
      assertRefused(await client.post(directory.revokeCert, { certificate }), 400, 'malformed');
    const root = toDer(await fleet.pebble.rootPem());
    const answer = await client.post(directory.revokeCert, { certificate: root });
    assert.ok([400, 403, 404].includes(answer.status), answer.body);
  });
});

suite('RFC 8738, addresses', () => {
  test('an address is ordered, authorized by what fits, and certified', async () => {
    const near = await openNear();
    const identifiers: AcmeIdentifier[] = [{ type: 'ip', value: '127.0.0.1' }];
    const placed = await near.newOrder({ identifiers });
    assert.deepEqual(placed.order.identifiers, identifiers);
    const { identifier, challenges, wildcard } = await near.readAuthorization(
      placed.order.authorizations[0] ?? '',
    );
    assert.deepEqual([identifier, wildcard], [identifiers[0], undefined]);
    assert.deepEqual(challenges.map(({ type }) => type).sort(), ['http-01', 'tls-alpn-01']);
    const { csrPem } = await makeCsr({ names: [], ips: ['127.0.0.1'] });
    const ended = await near.finalize(placed, csrPem);
    assert.equal(ended.status, 'valid', JSON.stringify(ended.error));
    const chain = await near.certificate(ended.certificate ?? '');
    assert.deepEqual(leafNames(new X509Certificate(chain)), ['127.0.0.1']);
  });

  test('an address in a form that is not the one, or as a name, is refused', async () => {
    const near = await openNear();
    for (const value of [
      '127.0.0.01',
      '127.1',
      '2130706433',
      '127.0.0.1/32',
      '0:0:0:0:0:0:0:1',
      '*.127.0.0.1',
      '::G',
    ]) {
      const answer = await near.post(directory.newOrder, { identifiers: [{ type: 'ip', value }] });
      assert.ok([400, 403].includes(answer.status), `${value}: ${answer.body}`);
    }
    const answer = await near.post(directory.newOrder, { identifiers: toDns('127.0.0.1') });
    assert.ok([400, 403].includes(answer.status), answer.body);
  });
});

suite('RFC 9773, renewal information', () => {
  const web = { ca: acme.ca, headers: { 'User-Agent': 'quarry-tests' } };
  const infoOf = (id: string) => ask(`${directory.renewalInfo}/${id}`, web);

  test('renewal information is a window, read without a signature, and says when to come back', async () => {
    const { leaf } = await shared;
    const answer = await infoOf(toRenewalId(leaf));
    const { suggestedWindow } = readObject<{ suggestedWindow: { start: string; end: string } }>(answer);
    assert.ok(Date.parse(suggestedWindow.start) < Date.parse(suggestedWindow.end));
    assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/);
  });

  test('of an id that is none, or of no certificate of here, there is nothing', async () => {
    for (const id of ['x', 'AAAA', 'AAAA.AAAA', `${'A'.repeat(200)}.AA`, '.', '..', 'AA==.AA==']) {
      const answer = await infoOf(id);
      assert.ok([400, 404].includes(answer.status), `${id}: ${answer.status} ${answer.body}`);
    }
  });

  test('an order says what it replaces, and a certificate is replaced once', async () => {
    const first = await issue();
    const replaces = toRenewalId(first.leaf);
    const { identifiers } = first.order;
    const second = await issue(client, identifiers, { replaces });
    assert.equal(second.ended.replaces, replaces);
    assertRefused(await client.post(directory.newOrder, { identifiers, replaces }), 409, 'alreadyReplaced');
  });

  test('what is not the client’s, or has none of the names, is not replaced, and nothing is told of it', async () => {
    const { leaf, order } = await shared;
    const replaces = toRenewalId(leaf);
    const other = await openAccount();
    for (const [by, asked] of [
      [other, { identifiers: order.identifiers, replaces }],
      [other, { identifiers: order.identifiers, replaces: 'AAAA.AAAA' }],
      [client, { identifiers: toDns(freshName()), replaces }],
    ] as const)
      assert.equal((await by.newOrder(asked)).order.replaces, asked.replaces);
    for (const odd of ['x', 'AAAA', 'a.b.c', 7])
      assertRefused(
        await client.post(directory.newOrder, { identifiers: order.identifiers, replaces: odd }),
        400,
        'malformed',
      );
    // Its own account can still replace it.
    await client.newOrder({ identifiers: order.identifiers, replaces });
  });
});

/** RFC 9773 section 4.1: the key identifier of the issuer and the serial number, out of the DER. */
function toRenewalId({ raw, serialNumber }: X509Certificate): string {
  const oid = Buffer.from('0603551d23', 'hex'); // authorityKeyIdentifier
  const at = raw.indexOf(Buffer.from([0x80, 0x14]), raw.indexOf(oid)) + 2;
  const digits = /^[89A-F]/.test(serialNumber) ? `00${serialNumber}` : serialNumber;
  const serial = Buffer.from(digits.length % 2 ? `0${digits}` : digits, 'hex');
  return `${raw.subarray(at, at + 20).toString('base64url')}.${serial.toString('base64url')}`;
}

suite('draft-ietf-acme-profiles', () => {
  test('a profile of the directory is ordered by its name, and shown', async () => {
    const { leaf, ended } = await issue(client, toDns(freshName()), { profile: 'shortlived' });
    assert.equal(ended.profile, 'shortlived');
    const days = (Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)) / 86_400_000;
    assert.ok(days < 7, `${days} days`);
  });

  test('a profile that the directory does not have is refused', async () => {
    for (const profile of ['nothing', 'default', '__proto__', 'toString']) {
      const answer = await client.post(directory.newOrder, { identifiers: toDns(freshName()), profile });
      assertRefused(answer, 400, 'invalidProfile');
    }
    const odd = await client.post(directory.newOrder, { identifiers: toDns(freshName()), profile: 7 });
    assertRefused(odd, 400, 'invalidProfile', 'malformed');
  });
});
