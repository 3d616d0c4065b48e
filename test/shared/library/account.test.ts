import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { openAccount } from '../../../shared/library/account.ts';
import { startConnectProxy } from '../../support/connect-proxy.ts';
import { freePort } from '../../support/free-port.ts';
import { type FakeCa, startFakeCa } from '../acme/fake-ca.ts';
import { accountKeyPem as key } from '../acme/open-connection.ts';

const terms = 'https://ca.example/terms';
const made = (ca: FakeCa) =>
  ca.requests.filter(({ path, payload }) => path === '/new-account' && !payload?.onlyReturnExisting);

test('openAccount() makes an account once, and finds it by its key from then on', async () => {
  await using ca = await startFakeCa();
  ca.meta = { termsOfService: terms };
  const options = { directory: ca.directoryUrl, key, terms, contact: ['mailto:a@example.org'] };
  using first = await openAccount(options);
  using second = await openAccount({ directory: ca.directoryUrl, key });
  assert.equal(second.url, first.url);
  assert.deepEqual(
    made(ca).map(({ payload }) => payload),
    [{ termsOfServiceAgreed: true, contact: ['mailto:a@example.org'] }],
  );
});

test('openAccount() makes no account under terms that are not agreed to', async () => {
  await using ca = await startFakeCa();
  ca.meta = { termsOfService: terms };
  for (const agreed of [undefined, false, 'https://ca.example/other']) {
    const options = { directory: ca.directoryUrl, key, ...(agreed !== undefined && { terms: agreed }) };
    await assert.rejects(openAccount(options), ({ code, message }: IssuanceError) => {
      return code === 'misconfigured' && message.includes(terms);
    });
  }
  assert.equal(made(ca).length, 0);
});

test('openAccount() says that a CA wants an external account binding, and sends it', async () => {
  await using ca = await startFakeCa();
  ca.meta = { externalAccountRequired: true };
  const options = { directory: ca.directoryUrl, key };
  await assert.rejects(openAccount(options), /external account binding: give eab/);
  using _account = await openAccount({ ...options, eab: { kid: 'kid-1', hmacKey: 'c2VjcmV0' } });
  assert.ok(made(ca)[0]?.payload?.externalAccountBinding);
});

test('openAccount() has its signal end every request of the account, and each call its own', async () => {
  await using ca = await startFakeCa();
  ca.on('/new-order', () => undefined);
  const [all, one] = [new AbortController(), new AbortController()];
  using account = await openAccount({ directory: ca.directoryUrl, key, signal: all.signal });
  const first = account.order(['a.example'], { signal: one.signal });
  const second = account.order(['a.example']);
  one.abort(new Error('this one'));
  await assert.rejects(first, /this one/);
  all.abort(new Error('all of them'));
  await assert.rejects(second, /all of them/);
});

test('an order of an account is for the names that are given, addresses among them', async () => {
  await using ca = await startFakeCa();
  ca.on('/new-order', ({ payload }) => ({
    status: 201,
    headers: { Location: `${ca.url}/order/1` },
    body: {
      status: 'pending',
      authorizations: [`${ca.url}/authz/1`],
      finalize: `${ca.url}/finalize`,
      ...payload,
    },
  }));
  using account = await openAccount({ directory: ca.directoryUrl, key });
  const order = await account.order(['*.A.example', '2001:DB8::1'], { profile: 'shortlived' });
  assert.deepEqual(
    [order.url, order.status, order.authorizations],
    [`${ca.url}/order/1`, 'pending', [`${ca.url}/authz/1`]],
  );
  const identifiers = [
    { type: 'dns', value: '*.a.example' },
    { type: 'ip', value: '2001:db8::1' },
  ];
  assert.deepEqual(order.identifiers, identifiers);
  assert.deepEqual(ca.requests.at(-1)?.payload, { identifiers, profile: 'shortlived' });
  await assert.rejects(account.order(['a..example']), IssuanceError);
});

test('openAccount() asks the CA through a proxy where it is given one', async () => {
  await using proxy = await startConnectProxy();
  const port = await freePort();
  const options = { directory: `https://proxied.example:${port}/`, key, proxy: { HTTPS_PROXY: proxy.url } };
  await assert.rejects(openAccount(options), { code: 'unavailable' });
  assert.deepEqual(
    proxy.asked.map(({ authority }) => authority),
    [`proxied.example:${port}`],
  );
});
