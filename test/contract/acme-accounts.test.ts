import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { openNonces } from '../../shared/acme-server/nonces.ts';
import { openOrders } from '../../shared/acme-server/orders.ts';
import { openUrls } from '../../shared/acme-server/urls.ts';
import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import { openTokenList } from '../../shared/admission/token-list.ts';
import { tokenBindingKey, tokenDigest } from '../../shared/admission/token-record.ts';
import { openJudgeToken } from '../../shared/admission/tokens.ts';
import { parseEntry } from '../../shared/trail/event.ts';
import { openIntake, usualAcme } from '../services/intake/open-intake.ts';
import { orderRecord } from '../shared/acme-server/order-record.ts';
import {
  bindAccount,
  type ClientKey,
  type EabKey,
  type FlatJws,
  makeClientKey,
  signJws,
} from '../support/acme-jws.ts';
import { testSeals } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { newStore } = await startOwnRedis();
const urls = openUrls('https://quarry.example.org/acme');
const DAY = 86_400_000;
const start = Date.parse('2026-11-27T12:00:00Z');
const hour = 3_600_000;

const block = (name: string, rest: Partial<AuthBlockConfig>): AuthBlockConfig => ({
  ...{ name, ips: [], all: false, domains: ['*.example.org'], addresses: [] },
  ...{ verifications: ['http'], challenges: ['http-01'], storage: 'kept' },
  accounts: [{ account: 'account' }],
  ...rest,
});
const webKey = 'key of the block web, 32 letters';
const web = block('web', { hmac: { type: 'sha512', keys: [webKey] } });
const mail = block('mail', { hmac: { type: 'sha256', keys: ['key of the block mail'] } });
const near = block('near', { ips: ['192.0.2.0/24'] });
const tokens = block('tokens', { token: true });
const webEab: EabKey = { kid: 'web', key: webKey };
const mailEab: EabKey = { kid: 'mail', key: 'key of the block mail' };

type Answer = { status: number; headers: Headers; body: Record<string, unknown>; kind: string };
type Options = { blocks?: AuthBlockConfig[]; store?: ReturnType<typeof newStore>; acme?: object };

/** An intake with an ACME server over a real Redis, and what clients send it. */
async function open({ blocks = [web, mail, near, tokens], store = newStore(), acme = {} }: Options = {}) {
  const clock = turnedClock(start);
  const judgeToken = openJudgeToken(store, testSeals, clock);
  const section = { ...usualAcme, ...acme };
  const server = { url: 'https://quarry.example.org/acme', store, clock, acme: section };
  const intake = await openIntake(blocks, { judgeToken, trusted: ['127.0.0.1'], acme: server });
  const nonces = openNonces(store, testSeals, clock);

  async function send(
    url: string,
    key: ClientKey,
    who: object,
    payload: unknown,
    from: string,
  ): Promise<Answer> {
    const header = { alg: key.alg, nonce: nonces.make(), url, ...who };
    const text = payload === undefined ? '' : JSON.stringify(payload);
    const answer = await fetch(url.replace('https://quarry.example.org', intake.url), {
      method: 'POST',
      headers: { 'Content-Type': 'application/jose+json', 'X-Forwarded-For': from },
      body: JSON.stringify(signJws(header, text, key)),
    });
    const body = (await answer.json()) as Record<string, unknown>;
    const kind = String(body.type ?? '').replace('urn:ietf:params:acme:error:', '');
    return { status: answer.status, headers: answer.headers, body, kind };
  }

  const toPayload = (
    key: ClientKey,
    { eab, ...payload }: { eab?: EabKey | object; [name: string]: unknown },
  ) => ({
    ...payload,
    ...(eab && {
      externalAccountBinding: 'key' in eab ? bindAccount(eab as EabKey, urls.newAccount, key.jwk) : eab,
    }),
  });

  return {
    ...{ store, clock },
    keys: (kind: string) => store.redis.keys(`${store.prefix}:acme:${kind}:*`),
    tokenList: openTokenList(store, testSeals, clock),
    newAccount: (key: ClientKey, asked: Parameters<typeof toPayload>[1] = {}, from = '198.51.100.1') =>
      send(urls.newAccount, key, { jwk: key.jwk }, toPayload(key, asked), from),
    post: (url: string, key: ClientKey, kid: string, payload?: unknown, from = '198.51.100.1') =>
      send(url, key, { kid }, payload, from),
    /** The events of the trail, as `kind by block: detail`, without ids. */
    async told() {
      const entries = await store.redis.xrange(`${store.prefix}:trail`, '-', '+');
      const events = entries.flatMap(([id, fields]) => parseEntry(id, fields));
      return events.map(({ event }) =>
        `${event?.event} ${event?.block ?? '-'} (${event?.by ?? '-'}): ${event?.detail}`.replace(
          /[0-9a-f]{32}/g,
          'ID',
        ),
      );
    },
    [Symbol.asyncDispose]: () => intake[Symbol.asyncDispose](),
  };
}

const detailOf = ({ status, kind, body }: Answer) => `${status} ${kind}: ${body.detail}`;
const locationOf = ({ headers }: Answer) => headers.get('Location') ?? '';
const unbound =
  'no auth block admits 198.51.100.1 with this external account binding: its key id or its key is not known here, or not any more; register anew with both as quarry check --eab or quarry token add prints them';

suite('newAccount', () => {
  test('makes an account, tells the trail, and gives the same for the same key', async () => {
    await using server = await open();
    const key = makeClientKey();
    const contact = ['mailto:admin@example.org'];
    const made = await server.newAccount(key, { contact, termsOfServiceAgreed: true }, '192.0.2.7');
    assert.equal(made.status, 201);
    const url = locationOf(made);
    assert.match(url, /^https:\/\/quarry\.example\.org\/acme\/account\/[0-9a-f]{32}$/);
    const account = { status: 'valid', contact, termsOfServiceAgreed: true, orders: `${url}/orders` };
    assert.deepEqual(made.body, account);
    const again = await server.newAccount(key, { contact: [] }, '198.51.100.1');
    assert.deepEqual([again.status, locationOf(again), again.body], [200, url, account]);
    const existing = await server.newAccount(key, { onlyReturnExisting: true });
    assert.deepEqual([existing.status, locationOf(existing)], [200, url]);
    assert.deepEqual((await server.post(url, key, url)).body, account);
    assert.deepEqual(await server.told(), ['account-made - (-): client account ID: bound to nothing']);
  });

  test('makes none where only an existing one is wanted', async () => {
    await using server = await open();
    const answer = await server.newAccount(makeClientKey(), { onlyReturnExisting: true }, '192.0.2.7');
    assert.equal(detailOf(answer), '400 accountDoesNotExist: there is no account with this key');
    assert.deepEqual(await server.keys('account'), []);
  });

  test('makes one of several requests at once with the same key', async () => {
    await using server = await open();
    const key = makeClientKey();
    const answers = await Promise.all([1, 2, 3, 4].map(() => server.newAccount(key, {}, '192.0.2.7')));
    assert.equal(new Set(answers.map(locationOf)).size, 1);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 200, 201]);
    assert.equal((await server.told()).length, 1);
  });

  test('needs the terms agreed to where there are any', async () => {
    await using server = await open({ acme: { termsOfService: 'https://example.org/terms' } });
    const key = makeClientKey();
    for (const payload of [{}, { termsOfServiceAgreed: false }]) {
      const refused = await server.newAccount(key, payload, '192.0.2.7');
      assert.equal(
        detailOf(refused),
        '403 userActionRequired: the terms of service are not agreed to: https://example.org/terms',
      );
      const links = refused.headers.get('link') ?? '';
      assert.match(links, /<https:\/\/example\.org\/terms>;rel="terms-of-service"/);
      assert.match(links, /;rel="index"/);
      assert.equal(refused.body.instance, 'https://example.org/terms');
    }
    assert.equal((await server.newAccount(key, { termsOfServiceAgreed: true }, '192.0.2.7')).status, 201);
  });

  for (const [contact, kind] of [
    [['tel:+491234'], 'unsupportedContact'],
    [['https://example.org/'], 'unsupportedContact'],
    [['mailto:a@example.org,b@example.org'], 'invalidContact'],
    [['mailto:a@example.org?subject=x'], 'invalidContact'],
    [['mailto:admin'], 'invalidContact'],
    [[''], 'invalidContact'],
    [Array.from({ length: 11 }, (_, at) => `mailto:a${at}@example.org`), 'invalidContact'],
    ['mailto:admin@example.org', 'malformed'],
    [[7], 'malformed'],
  ] as const)
    test(`refuses ${JSON.stringify(contact).slice(0, 60)} as contacts: ${kind}`, async () => {
      await using server = await open();
      const answer = await server.newAccount(makeClientKey(), { contact }, '192.0.2.7');
      assert.equal(answer.kind, kind, detailOf(answer));
    });

  test('takes an address without mailto:, as step sends it', async () => {
    await using server = await open();
    const { body } = await server.newAccount(makeClientKey(), { contact: ['a@example.org'] }, '192.0.2.7');
    assert.deepEqual(body.contact, ['mailto:a@example.org']);
  });

  test('does not take what is no account, and passes over what it does not know', async () => {
    await using server = await open();
    const key = makeClientKey();
    for (const payload of [{ onlyReturnExisting: 'yes' }, { termsOfServiceAgreed: 1 }])
      assert.equal((await server.newAccount(key, payload, '192.0.2.7')).kind, 'malformed');
    const odd = { status: 'deactivated', orders: 'x', key: 'y', colour: { red: true } };
    assert.equal((await server.newAccount(key, odd, '192.0.2.7')).body.status, 'valid');
  });
});

suite('an external account binding', () => {
  test('by the key of a block makes an account, whatever its hash, and is in the account', async () => {
    await using server = await open();
    for (const alg of ['HS256', 'HS384', 'HS512'] as const) {
      const key = makeClientKey();
      const eab = { ...webEab, alg };
      const made = await server.newAccount(key, { eab });
      assert.equal(made.status, 201, detailOf(made));
      assert.deepEqual(made.body.externalAccountBinding, bindAccount(eab, urls.newAccount, key.jwk));
    }
    assert.deepEqual(
      new Set(await server.told()),
      new Set(['account-made web (hmac key 1): client account ID: bound to web']),
    );
  });

  test('is refused in the same words whether its key id or its key is another', async () => {
    await using server = await open();
    const key = makeClientKey();
    for (const eab of [
      { kid: 'web', key: 'another key' },
      { kid: 'nobody', key: webKey },
      { kid: 'mail', key: webKey },
      { kid: 'near', key: webKey },
      { kid: 'f'.repeat(64), key: webKey },
    ])
      assert.equal(detailOf(await server.newAccount(key, { eab })), `403 unauthorized: ${unbound}`, eab.kid);
    const near = await server.newAccount(key, { eab: { kid: 'near', key: webKey } }, '192.0.2.7');
    assert.equal(near.kind, 'unauthorized', 'an address does not make a bad binding good');
    assert.deepEqual(await server.keys('account'), []);
  });

  test('is of the form that RFC 8555 demands', async () => {
    await using server = await open();
    const key = makeClientKey();
    const good = (header = {}, jwk = key.jwk, url = urls.newAccount) => bindAccount(webEab, url, jwk, header);
    const wrong: Record<string, object> = {
      'a nonce': good({ nonce: 'abc' }),
      'another url': good({}, key.jwk, urls.newOrder),
      'no url': good({ url: undefined }),
      'no key id': good({ kid: undefined }),
      'an empty key id': good({ kid: '' }),
      'a signature of an account': good({ alg: 'ES256' }),
      'no algorithm': good({ alg: 'none' }),
      'the key of another': good({}, makeClientKey().jwk),
      'an unprotected header': { ...good(), header: { kid: 'web' } },
      'no payload': { ...good(), payload: '' },
      'a part missing': { protected: good().protected, payload: good().payload },
      'a jwk': good({ jwk: key.jwk }),
      'more than a key needs': bindAccount(webEab, urls.newAccount, { ...key.jwk, use: 'x'.repeat(8_000) }),
      'a long key id': good({ kid: 'k'.repeat(300) }),
    };
    for (const [what, externalAccountBinding] of Object.entries(wrong)) {
      const answer = await server.newAccount(key, { externalAccountBinding });
      assert.equal(answer.kind, 'malformed', `${what}: ${detailOf(answer)}`);
    }
    const text = await server.newAccount(key, { externalAccountBinding: 'web' });
    assert.equal(text.kind, 'malformed');
    assert.equal((await server.newAccount(key, { externalAccountBinding: good() })).status, 201);
  });

  test('is required where no block admits the address without one', async () => {
    await using server = await open();
    const lacks = 'no auth block admits 198.51.100.1 without an external account binding';
    assert.equal(detailOf(await server.newAccount(makeClientKey())), `403 externalAccountRequired: ${lacks}`);
    await using closed = await open({ blocks: [near] });
    assert.equal((await closed.newAccount(makeClientKey())).kind, 'unauthorized');
  });

  test('by the key of a token makes an account, until the token is revoked or used up', async () => {
    await using server = await open();
    const judge = openJudgeToken(server.store, testSeals, server.clock);
    const add = async (name: string, once: boolean) => {
      const wanted = { name, block: 'tokens', names: ['web1.example.org'], once };
      const digest = tokenDigest((await server.tokenList.add(wanted)) ?? '');
      return { kid: digest, key: tokenBindingKey(testSeals, digest) };
    };
    const [web1, used] = [await add('web1', false), await add('once', true)];
    assert.equal((await server.newAccount(makeClientKey(), { eab: web1 })).status, 201);
    assert.equal((await server.newAccount(makeClientKey(), { eab: used })).status, 201);
    assert.deepEqual(await server.told(), [
      `account-made tokens (token web1): client account ID: bound to IDID`,
      `account-made tokens (token once): client account ID: bound to IDID`,
    ]);
    const once = await judge({ digest: used.kid }, 'tokens');
    await (once && 'once' in once && once.once?.bind({ csr: 'a CSR', job: 'a job' }));
    const spent = '403 unauthorized: the token was for one certificate, and has been used';
    assert.equal(detailOf(await server.newAccount(makeClientKey(), { eab: used })), spent);
    await server.tokenList.revoke('web1');
    const revoked = '403 unauthorized: the token was revoked at 2026-11-27T12:00:00.000Z';
    assert.equal(detailOf(await server.newAccount(makeClientKey(), { eab: web1 })), revoked);
  });

  test('of a newAccount with a known key binds the account anew, where it is good today', async () => {
    const store = newStore();
    const key = makeClientKey();
    await using before = await open({ store });
    const made = await before.newAccount(key, { eab: webEab });
    const url = locationOf(made);
    assert.equal((await before.newAccount(key, { eab: webEab })).status, 200);
    assert.equal((await before.told()).length, 1, 'the same binding is no change');

    await using after = await open({ store, blocks: [mail] });
    const found = await after.newAccount(key, { eab: mailEab, onlyReturnExisting: true });
    assert.deepEqual([locationOf(found), found.body], [url, made.body], 'who only looks binds nothing');
    const same = await after.newAccount(key, { eab: webEab });
    assert.deepEqual([same.status, locationOf(same)], [200, url], 'who binds nothing anew finds its account');
    const bad = await after.newAccount(key, { eab: { ...mailEab, key: 'guessed' } });
    assert.equal(detailOf(bad), `403 unauthorized: ${unbound}`);
    assert.deepEqual((await after.post(url, key, url)).body, made.body);
    const bound = await after.newAccount(key, { eab: mailEab, contact: ['mailto:other@example.org'] });
    assert.deepEqual([bound.status, locationOf(bound)], [200, url]);
    const binding = bindAccount(mailEab, urls.newAccount, key.jwk);
    assert.deepEqual(bound.body, { ...made.body, externalAccountBinding: binding });
    assert.deepEqual((await after.post(url, key, url)).body, bound.body);
    const told = await after.told();
    assert.deepEqual(told.slice(1), [
      'account-changed mail (hmac key 1): client account ID: bound anew to mail',
    ]);
  });
});

/** An account from 192.0.2.7, with its URL. */
async function make(server: Awaited<ReturnType<typeof open>>, key = makeClientKey()) {
  const url = locationOf(await server.newAccount(key, {}, '192.0.2.7'));
  return { key, url };
}

suite('an account', () => {
  test('is changed in its contacts alone', async () => {
    await using server = await open();
    const { key, url } = await make(server);
    const contact = ['mailto:new@example.org'];
    const odd = { status: 'valid', orders: 'x', termsOfServiceAgreed: true, externalAccountBinding: {} };
    const changed = await server.post(url, key, url, { ...odd, contact });
    assert.deepEqual(changed.body, { status: 'valid', contact, orders: `${url}/orders` });
    assert.deepEqual((await server.post(url, key, url)).body, changed.body);
    assert.deepEqual((await server.post(url, key, url, {})).body, changed.body);
    assert.deepEqual((await server.post(url, key, url, { contact: [] })).body.contact, []);
    assert.equal((await server.post(url, key, url, { contact: ['tel:1'] })).kind, 'unsupportedContact');
  });

  test('that is deactivated is good for nothing any more, and stays so', async () => {
    await using server = await open();
    const { key, url } = await make(server);
    const gone = await server.post(url, key, url, { status: 'deactivated' });
    assert.deepEqual([gone.status, gone.body.status], [200, 'deactivated']);
    const refused = '401 unauthorized: the account is deactivated';
    assert.equal(detailOf(await server.post(url, key, url)), refused);
    assert.equal(detailOf(await server.post(url, key, url, { status: 'valid' })), refused);
    assert.equal(detailOf(await server.newAccount(key, {}, '192.0.2.7')), refused);
    assert.equal(detailOf(await server.newAccount(key, { onlyReturnExisting: true })), refused);
    assert.equal(detailOf(await server.newAccount(key, { eab: webEab })), refused);
    assert.equal((await server.told()).at(-1), 'account-changed - (-): client account ID: deactivated');
  });

  test('is for nobody else', async () => {
    await using server = await open();
    const [one, other] = [await make(server), await make(server)];
    for (const payload of [undefined, {}, { contact: [] }, { status: 'deactivated' }]) {
      const answer = await server.post(one.url, other.key, other.url, payload);
      assert.equal(detailOf(answer), '403 unauthorized: this is the URL of another account');
    }
    const missing = urls.account('0'.repeat(32));
    const answer = await server.post(missing, other.key, other.url);
    assert.equal(
      detailOf(answer),
      '403 unauthorized: this is the URL of another account',
      'nor is it told which are',
    );
    assert.equal((await server.post(one.url, one.key, one.url)).body.status, 'valid');
  });

  test('is not there where its record was written by hand, or put under the id or key of another', async () => {
    await using server = await open();
    const { redis, prefix } = server.store;
    const [one, other] = [await make(server), await make(server)];
    const record = (url: string) => `${prefix}:acme:account:${urls.accountIdOf(url)}`;
    await redis.set(record(one.url), (await redis.get(record(other.url))) ?? '');
    assert.equal((await server.post(one.url, one.key, one.url)).kind, 'accountDoesNotExist');
    await redis.set(`${prefix}:acme:key:${one.key.thumbprint}`, urls.accountIdOf(other.url) ?? '');
    assert.equal(
      (await server.newAccount(one.key, { onlyReturnExisting: true })).kind,
      'accountDoesNotExist',
    );
    const made = await server.newAccount(one.key, {}, '192.0.2.7');
    assert.equal(made.status, 201);
    assert.equal((await server.post(locationOf(made), one.key, locationOf(made))).status, 200);
  });
});

suite("the list of an account's orders", () => {
  test('is read page by page, by its account alone', async () => {
    const store = newStore();
    await using server = await open({ store });
    const [{ key, url }, other] = [await make(server), await make(server)];
    const orders = openOrders(store, testSeals, server.clock);
    assert.deepEqual((await server.post(`${url}/orders`, key, url)).body, { orders: [] });
    const ids = Array.from({ length: 120 }, (_, at) => `order-${at}`);
    const account = urls.accountIdOf(url) ?? '';
    for (const id of ids) await orders.create(orderRecord({ id, account, created: start }));
    const listed: unknown[] = [];
    let pages = 0;
    for (let page: string | undefined = `${url}/orders`; page !== undefined; pages++) {
      const { status, body, headers } = await server.post(page, key, url);
      assert.equal(status, 200);
      listed.push(...(body.orders as string[]));
      const links = headers.get('Link') ?? '';
      assert.match(links, /<https:\/\/quarry\.example\.org\/acme\/directory>;rel="index"/);
      page = /<([^>]*)>;rel="next"/.exec(links)?.[1];
    }
    assert.equal(pages, 2);
    assert.deepEqual(listed, ids.reverse().map(urls.order));
    assert.equal((await server.post(`${url}/orders`, other.key, other.url)).kind, 'unauthorized');
    assert.equal((await server.post(`${url}/orders`, key, url, {})).kind, 'malformed');
    for (const cursor of ['', 'x', '-1', '1&cursor=2'])
      assert.equal((await server.post(`${url}/orders?cursor=${cursor}`, key, url)).kind, 'malformed', cursor);
  });
});

suite('keyChange', () => {
  type Inner = { header?: object; payload?: object; signedBy?: ClientKey; jws?: (jws: FlatJws) => unknown };

  function toInner(account: { key: ClientKey; url: string }, to: ClientKey, inner: Inner = {}): unknown {
    const header = { alg: to.alg, jwk: to.jwk, url: urls.keyChange, ...inner.header };
    const payload = { account: account.url, oldKey: account.key.jwk, ...inner.payload };
    const jws = signJws(header, JSON.stringify(payload), inner.signedBy ?? to);
    return inner.jws?.(jws) ?? jws;
  }

  test('gives the account another key at once, of another kind if it likes', async () => {
    await using server = await open();
    const { key, url } = await make(server);
    const next = makeClientKey('EdDSA');
    const inner = toInner({ key, url }, next);
    const changed = await server.post(urls.keyChange, key, url, inner);
    assert.deepEqual([changed.status, changed.body.status], [200, 'valid'], detailOf(changed));
    assert.equal((await server.post(url, next, url)).status, 200);
    assert.equal((await server.post(url, key, url)).kind, 'malformed', 'the old key is good for nothing');
    assert.equal(locationOf(await server.newAccount(next, { onlyReturnExisting: true })), url);
    assert.equal((await server.newAccount(key, { onlyReturnExisting: true })).kind, 'accountDoesNotExist');
    const told = `account-changed - (-): client account ID: key changed to ${next.thumbprint}`;
    assert.equal((await server.told()).at(-1), told);
    assert.notEqual(
      locationOf(await server.newAccount(key, {}, '192.0.2.7')),
      url,
      'it may have an account anew',
    );
  });

  test('to the key of another account is refused, and says whose it is', async () => {
    await using server = await open();
    const [one, other] = [await make(server), await make(server)];
    const answer = await server.post(urls.keyChange, one.key, one.url, toInner(one, other.key));
    assert.deepEqual([answer.status, locationOf(answer)], [409, other.url]);
    const own = await server.post(urls.keyChange, one.key, one.url, toInner(one, one.key));
    assert.deepEqual([own.status, locationOf(own)], [409, one.url]);
    for (const { key, url } of [one, other]) assert.equal((await server.post(url, key, url)).status, 200);
  });

  test('of several at once to the same key gives it to one account', async () => {
    await using server = await open();
    const accounts = [await make(server), await make(server), await make(server)];
    const next = makeClientKey();
    const answers = await Promise.all(
      accounts.map(one => server.post(urls.keyChange, one.key, one.url, toInner(one, next))),
    );
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409, 409]);
  });

  test('needs both keys, the same url, the account and its old key', async () => {
    await using server = await open();
    const [one, other] = [await make(server), await make(server)];
    const next = makeClientKey();
    const wrong: Record<string, Inner> = {
      'is signed by the old key': { signedBy: one.key },
      'has a nonce': { header: { nonce: 'abc' } },
      'is for another url': { header: { url: urls.newAccount } },
      'has a kid in place of the key': { header: { jwk: undefined, kid: one.url } },
      'is for another account': { payload: { account: other.url } },
      'has no account': { payload: { account: undefined } },
      'has another old key': { payload: { oldKey: other.key.jwk } },
      'has another algorithm': { header: { alg: 'HS256' } },
      'has an unprotected header': { jws: jws => ({ ...jws, header: {} }) },
      'is none': { jws: () => ({}) },
    };
    for (const [what, inner] of Object.entries(wrong)) {
      const answer = await server.post(urls.keyChange, one.key, one.url, toInner(one, next, inner));
      assert.equal(answer.kind, 'malformed', `${what}: ${detailOf(answer)}`);
    }
    const noOldKey = toInner(one, next, { payload: { oldKey: undefined } });
    assert.equal((await server.post(urls.keyChange, one.key, one.url, noOldKey)).status, 400);
    const foreign = await server.post(urls.keyChange, other.key, other.url, toInner(one, next));
    assert.equal(foreign.kind, 'malformed', 'what the new key has signed is for one account');
    assert.equal((await server.post(urls.keyChange, one.key, one.url)).kind, 'malformed');
    assert.equal((await server.post(one.url, one.key, one.url)).status, 200);
  });
});

suite('[acme] new-accounts', () => {
  const acme = { newAccounts: { count: 2, period: hour } };

  test('bounds the accounts of a client host, of a network of 64 bits with IPv6; what is there is free', async () => {
    const blocks = [block('near', { ips: ['192.0.2.0/24', '2001:db8::/32'] })];
    await using server = await open({ acme, blocks });
    const key = makeClientKey();
    for (const [first, second, third, other] of [
      ['192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2'],
      ['2001:db8::1', '2001:db8::2', '2001:db8:0:0:3::', '2001:db8:0:1::1'],
    ] as const) {
      assert.equal((await server.newAccount(makeClientKey(), {}, first)).status, 201);
      assert.equal((await server.newAccount(key, {}, second)).status, first === '192.0.2.1' ? 201 : 200);
      if (first !== '192.0.2.1')
        assert.equal((await server.newAccount(makeClientKey(), {}, second)).status, 201);
      const late = await server.newAccount(makeClientKey(), {}, third);
      assert.deepEqual([late.status, late.kind], [429, 'rateLimited'], third);
      const wait = Number(late.headers.get('Retry-After'));
      assert.ok(wait > 0 && wait <= 1_800, `${wait}`);
      assert.equal((await server.newAccount(key, {}, third)).status, 200);
      assert.equal((await server.newAccount(makeClientKey(), {}, other)).status, 201);
    }
  });

  test('bounds ten times as many of a key, from wherever they come', async () => {
    await using server = await open({ acme: { newAccounts: { count: 1, period: hour } } });
    const from = (at: number) => server.newAccount(makeClientKey(), { eab: webEab }, `198.51.100.${at}`);
    for (let at = 1; at <= 10; at++) assert.equal((await from(at)).status, 201);
    assert.equal((await from(11)).kind, 'rateLimited');
    assert.equal((await server.newAccount(makeClientKey(), { eab: mailEab }, '198.51.100.12')).status, 201);
  });

  test('has who guesses at keys hear the same of a good one as of bad ones', async () => {
    await using server = await open({ acme });
    const guess = (key: string) => server.newAccount(makeClientKey(), { eab: { kid: 'web', key } });
    const answers = [await guess('one'), await guess('two'), await guess('three'), await guess(webKey)];
    const kinds = answers.map(({ kind }) => kind);
    assert.deepEqual(kinds, ['unauthorized', 'unauthorized', 'rateLimited', 'rateLimited']);
    const known = makeClientKey();
    const elsewhere = '198.51.100.9';
    assert.equal((await server.newAccount(known, { eab: webEab }, elsewhere)).status, 201);
    const anew = await server.newAccount(known, { eab: { ...mailEab, key: 'guess' } });
    assert.equal(anew.kind, 'rateLimited', 'an account does not help to guess');
    assert.equal((await server.newAccount(known, { eab: mailEab })).kind, 'rateLimited');
    assert.equal((await server.newAccount(known, { eab: webEab })).status, 200);
  });

  test('bounds nothing where it is off', async () => {
    await using server = await open();
    for (let at = 0; at < 5; at++) assert.equal((await make(server)).url.length > 0, true);
    assert.deepEqual(await server.keys('new-accounts'), []);
  });
});

suite('the life of an account', () => {
  test('ends thirty days after it was last used', async () => {
    await using server = await open();
    const { redis, prefix } = server.store;
    const { key, url } = await make(server);
    const id = urls.accountIdOf(url);
    const keys = ['account', 'use'].map(kind => `${prefix}:acme:${kind}:${id}`);
    keys.push(`${prefix}:acme:key:${key.thumbprint}`);
    const lives = () => Promise.all(keys.map(one => redis.pttl(one)));
    for (const life of await lives()) assert.ok(life > 29 * DAY && life <= 30 * DAY, `${life}`);
    assert.equal(await redis.zscore(`${prefix}:acme:accounts`, id ?? ''), String(start + 30 * DAY));

    for (const one of keys) await redis.pexpire(one, DAY);
    server.clock.turn(29 * DAY);
    await server.post(url, key, url);
    while ((await lives()).some(life => life <= DAY)) await new Promise(resolve => setImmediate(resolve));
    assert.equal(await redis.zscore(`${prefix}:acme:accounts`, id ?? ''), String(start + 59 * DAY));
    assert.equal(await redis.hget(`${prefix}:acme:use:${id}`, 'seen'), String(start + 29 * DAY));

    server.clock.turn(DAY);
    await server.newAccount(key, { onlyReturnExisting: true });
    assert.equal(await redis.hget(`${prefix}:acme:use:${id}`, 'seen'), String(start + 30 * DAY));

    server.clock.turn(31 * DAY);
    const later = await make(server);
    const listed = await redis.zrangebyscore(`${prefix}:acme:accounts`, '-inf', 'inf');
    assert.deepEqual(listed, [urls.accountIdOf(later.url)], 'the list forgets it');
  });
});
