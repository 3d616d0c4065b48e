import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { suite, test } from 'node:test';
import type { RouterContext } from '@koa/router';
import Koa from 'koa';
import { acmeAnswers } from '../../services/intake/acme/answers.ts';
import { type ByAccount, type ByKey, openSigned } from '../../services/intake/acme/signed.ts';
import { type Account, openAccounts } from '../../shared/acme-server/accounts.ts';
import { openNonces } from '../../shared/acme-server/nonces.ts';
import { openUrls } from '../../shared/acme-server/urls.ts';
import { openSeals, toSealed } from '../../shared/admission/hmac.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { type ClientKey, type JwsHeader, makeClientKey, signJws } from '../support/acme-jws.ts';
import { freePort } from '../support/free-port.ts';
import { listen } from '../support/listen.ts';
import { startNginx } from '../support/nginx.ts';
import { quietLog } from '../support/quiet-log.ts';
import { testSeals } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { redis, newStore } = await startOwnRedis();
const urls = openUrls('https://quarry.example.org/acme');

type Asked = { by: ByAccount | ByKey; state: Record<string, unknown> };

/** An intake with three routes, which take any request by an account, by a key, and by either. */
/** @param goesAway whether it takes a request, and goes away before it answers */
async function openServer(store = newStore(), { goesAway = false } = {}) {
  const clock = turnedClock(Date.parse('2026-05-01'));
  const nonces = openNonces(store, testSeals, clock);
  const accounts = openAccounts(store, testSeals, clock);
  const signed = openSigned({ urls, nonces, accounts, store });
  const asked: Asked[] = [];
  const note = async (ctx: RouterContext, by: ByAccount | ByKey) => {
    const { spend, ...rest } = { spend: undefined, ...by };
    if (by.payload?.refuse !== true) await spend?.();
    asked.push({ by: rest as typeof by, state: ctx.state });
    ctx.body = 'done';
  };
  const recordKey = () => `${store.prefix}:acme:record`;
  const routes: Record<string, (ctx: RouterContext) => Promise<void>> = {
    '/acme/by-account': signed.byAccount(note, recordKey),
    '/acme/by-key': signed.byKey(note),
    '/acme/by-either': signed.byEither(note),
  };
  const app = new Koa();
  const refusals = { note: async () => {} };
  const clients = { isTrustedProxy: () => false };
  app.use(async ({ req }, next) => {
    await next();
    if (goesAway) req.socket.destroy();
  });
  app.use(acmeAnswers({ urls, nonces, clients, refusals, clock, log: quietLog }));
  app.use(ctx => routes[ctx.path]?.(ctx as RouterContext));
  const server = await listen(app.callback());

  async function keep(key: ClientKey, more: Partial<Account> = {}): Promise<Account> {
    const { jwk, thumbprint } = key;
    const made = { id: `id-${thumbprint.slice(0, 10)}`, status: 'valid', created: 0 } as const;
    const account = {
      ...made,
      contacts: [],
      key: jwk as Account['key'],
      thumbprint,
      client: '192.0.2.1',
      ...more,
    };
    const sealed = toSealed(testSeals, `acme account ${account.id}`, JSON.stringify(account));
    await redis.set(accounts.key(account.id), sealed);
    return account;
  }

  async function send(path: string, body: unknown, headers = {}, to = server.url) {
    const answer = await fetch(`${to}/acme${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/jose+json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await answer.text();
    const problem = answer.ok ? undefined : (JSON.parse(text) as Record<string, unknown>);
    return { status: answer.status, headers: answer.headers, problem, kind: kindOf(problem) };
  }

  return {
    ...{ clock, nonces, asked, keep, send, port: server.port },
    /** Signed as it should be, but for `header`. */
    post: (path: string, key: ClientKey, header: Record<string, unknown>, payload = '', to = server.url) => {
      const own = {
        alg: key.alg,
        nonce: nonces.make(),
        url: urls.signed(`/acme${path}`),
      };
      return send(path, signJws({ ...own, ...header } as JwsHeader, payload, key), {}, to);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** To the route by a key, each chunk as it is. */
async function sendChunks(port: number, chunks: string[]): Promise<IncomingMessage> {
  const headers = { 'Content-Type': 'application/jose+json' };
  const sent = request({ host: '127.0.0.1', port, path: '/acme/by-key', method: 'POST', headers });
  sent.on('error', () => {}); // what is too large may be cut off after its answer
  for (const chunk of chunks) sent.write(chunk);
  sent.end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return answer.resume();
}

const kindOf = (problem: Record<string, unknown> | undefined) =>
  String(problem?.type ?? '').replace('urn:ietf:params:acme:error:', '');

suite('a signed request', () => {
  test('of each kind of key comes to its handler, with its account, its payload and the record', async () => {
    const store = newStore();
    await using server = await openServer(store);
    await redis.set(`${store.prefix}:acme:record`, 'a record');
    for (const alg of ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const) {
      const key = makeClientKey(alg);
      const account = await server.keep(key);
      const kid = urls.account(account.id);
      assert.equal((await server.post('/by-account', key, { kid }, '{"a":1}')).status, 200, alg);
      const { by, state } = server.asked.at(-1) as Asked;
      assert.deepEqual(by, { account, payload: { a: 1 }, text: 'a record' });
      assert.equal(state.clientAccount, account.id);
    }
  });

  test('brings its key, whose thumbprint is that of RFC 7638', async () => {
    await using server = await openServer();
    for (const alg of ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const) {
      const key = makeClientKey(alg);
      const jwk = { ...key.jwk, alg, use: 'sig' };
      assert.equal((await server.post('/by-key', key, { jwk }, '{}')).status, 200, alg);
      const { jwk: own, thumbprint } = key;
      assert.deepEqual(server.asked.at(-1)?.by, { key: own, thumbprint, payload: {} });
    }
  });

  test('has no payload as POST-as-GET, and {} is one', async () => {
    await using server = await openServer();
    const key = makeClientKey();
    const kid = urls.account((await server.keep(key)).id);
    await server.post('/by-account', key, { kid });
    await server.post('/by-account', key, { kid }, '{}');
    assert.deepEqual(
      server.asked.map(({ by }) => by.payload),
      [undefined, {}],
    );
  });

  test('is taken once', async () => {
    await using server = await openServer();
    const key = makeClientKey();
    const nonce = server.nonces.make();
    assert.equal((await server.post('/by-key', key, { jwk: key.jwk, nonce })).status, 200);
    const { status, kind, problem } = await server.post('/by-key', key, { jwk: key.jwk, nonce });
    assert.deepEqual([status, kind], [400, 'badNonce']);
    // acme.sh looks for these words.
    assert.match(String(problem?.detail), /^JWS has an invalid anti-replay nonce/);
    assert.equal(server.asked.length, 1);
  });

  test('is told to take another nonce where its own is foreign, old, or from the future', async () => {
    const store = newStore();
    await using server = await openServer(store);
    const key = makeClientKey();
    const foreign = openNonces(store, openSeals(Buffer.from('another installation')), server.clock).make();
    const old = server.nonces.make();
    const flipped = old.replace(/.$/, last => (last === '0' ? '1' : '0'));
    const good = async (nonce: string) => (await server.post('/by-key', key, { jwk: key.jwk, nonce })).kind;
    for (const nonce of [foreign, flipped, 'none', old.toUpperCase(), `${old}00`])
      assert.equal(await good(nonce), 'badNonce', nonce);
    server.clock.turn(-61_000);
    assert.equal(await good(old), 'badNonce');
    server.clock.turn(61_000 + 3_600_001);
    assert.equal(await good(old), 'badNonce');
    assert.deepEqual(await redis.keys(`${store.prefix}:acme:nonce:*`), []);
    server.clock.turn(-1);
    assert.equal(await good(old), '');
  });

  test('has its nonce remembered for as long as that would be good, and not for ever', async () => {
    const store = newStore();
    await using server = await openServer(store);
    const key = makeClientKey();
    for (const age of [0, 1_800_000]) {
      const nonce = server.nonces.make();
      server.clock.turn(age);
      await server.post('/by-key', key, { jwk: key.jwk, nonce });
      const [used = ''] = await redis.keys(`${store.prefix}:acme:nonce:${nonce.slice(0, 32)}`);
      const life = await redis.pttl(used);
      assert.ok(life > 3_600_000 - age && life <= 3_720_000 - age, `${life}`);
    }
  });

  test('is of one intake, whichever: of two that get it at once, one takes it', async () => {
    const store = newStore();
    await using one = await openServer(store);
    await using other = await openServer(store);
    const key = makeClientKey();
    for (let at = 0; at < 20; at++) {
      const header = { jwk: key.jwk, nonce: one.nonces.make() };
      const answers = await Promise.all([one, other].map(server => server.post('/by-key', key, header)));
      assert.deepEqual(answers.map(({ kind }) => kind).sort(), ['', 'badNonce']);
    }
  });

  test('is for the URL that it came for, and is told both where it is not', async () => {
    await using server = await openServer();
    const key = makeClientKey();
    const nonce = server.nonces.make();
    const ask = (url: string) => server.post('/by-key', key, { jwk: key.jwk, nonce, url });
    for (const url of ['https://intake-1:1313/acme/by-key', urls.signed('/acme/by-either'), '']) {
      const { status, kind, problem } = await ask(url);
      assert.deepEqual([status, kind], [403, 'unauthorized']);
      const own = 'https://quarry.example.org/acme/by-key';
      assert.equal(
        problem?.detail,
        `the request is signed for ${JSON.stringify(url)}, and came for "${own}"`,
      );
    }
    assert.equal((await ask(urls.signed('/acme/by-key'))).status, 200);
  });

  test('comes as application/jose+json, and has at most 64 KiB', async () => {
    await using server = await openServer();
    const other = await server.send('/by-key', {}, { 'Content-Type': 'application/json' });
    assert.deepEqual([other.status, other.kind], [415, 'malformed']);
    const named = await server.send(
      '/by-key',
      {},
      { 'Content-Type': 'application/jose+json; charset=utf-8' },
    );
    assert.equal(named.status, 400);
    const large = await server.send('/by-key', 'x'.repeat(64 * 1024 + 1));
    assert.deepEqual([large.status, large.kind], [413, 'malformed']);
  });

  test('may come in chunks, as a proxy sends what came by HTTP/2, and is bounded all the same', async () => {
    await using server = await openServer();
    const key = makeClientKey();
    const url = urls.signed('/acme/by-key');
    const header = { alg: key.alg, nonce: server.nonces.make(), url, jwk: key.jwk };
    const signed = JSON.stringify(signJws(header as JwsHeader, '{}', key));
    const taken = await sendChunks(server.port, [signed.slice(0, 100), signed.slice(100)]);
    assert.deepEqual([taken.statusCode, server.asked.length], [200, 1]);
    const large = await sendChunks(
      server.port,
      Array.from({ length: 9 }, () => 'x'.repeat(8 * 1024)),
    );
    assert.deepEqual([large.statusCode, large.headers.connection], [413, 'close']);

    const socket = connect(server.port, '127.0.0.1').resume();
    const ended = once(socket, 'close');
    const fields = 'Host: x\r\nContent-Type: application/jose+json\r\nTransfer-Encoding: chunked';
    socket.end(`POST /acme/by-key HTTP/1.1\r\n${fields}\r\n\r\n5\r\n{"pro`); // and no more
    await ended;
    assert.equal(server.asked.length, 1);
  });

  test('brings a kid or a key, as its route wants it, and the kid of an account here', async () => {
    await using server = await openServer();
    const key = makeClientKey();
    const { id } = await server.keep(key);
    const [byKid, byJwk] = [{ kid: urls.account(id) }, { jwk: key.jwk }];
    assert.equal((await server.post('/by-key', key, byKid)).kind, 'malformed');
    assert.equal((await server.post('/by-account', key, byJwk)).kind, 'malformed');
    for (const header of [byKid, byJwk])
      assert.equal((await server.post('/by-either', key, header)).status, 200);
    for (const kid of ['', id, `https://other.example.org/acme/account/${id}`, `${urls.account(id)}/..`])
      assert.equal((await server.post('/by-account', key, { kid })).kind, 'malformed', kid);
  });

  test('has an object as payload, or nothing', async () => {
    await using server = await openServer();
    const key = makeClientKey();
    for (const payload of ['[]', '"{}"', 'null', '{"a":1,"a":2}', ' '])
      assert.equal((await server.post('/by-key', key, { jwk: key.jwk }, payload)).kind, 'malformed', payload);
  });

  test('by a key spends its nonce when its handler says so, as anybody can make a key', async () => {
    const store = newStore();
    await using server = await openServer(store);
    for (let times = 0; times < 20; times++) {
      const key = makeClientKey();
      await server.post('/by-key', key, { jwk: key.jwk }, '{"refuse":true}');
      await server.post('/by-either', key, { jwk: key.jwk }, '{"refuse":true}');
    }
    assert.equal(server.asked.length, 40);
    assert.deepEqual(await redis.keys(`${store.prefix}:acme:nonce:*`), []);
  });

  test('spends no nonce where its signature is bad', async () => {
    await using server = await openServer();
    const key = makeClientKey();
    const nonce = server.nonces.make();
    const foreign = await server.post('/by-key', key, { jwk: makeClientKey().jwk, nonce });
    assert.deepEqual([foreign.status, foreign.kind], [400, 'malformed']);
    assert.equal((await server.post('/by-key', key, { jwk: key.jwk, nonce })).status, 200);
  });
});

test('in the steady state, a request costs one command of Redis', async t => {
  await using server = await openServer();
  const key = makeClientKey();
  const kid = urls.account((await server.keep(key)).id);
  await server.post('/by-account', key, { kid });
  const { mock } = t.mock.method(redis, 'sendCommand');
  assert.equal((await server.post('/by-account', key, { kid })).status, 200);
  assert.deepEqual(
    mock.calls.map(({ arguments: [command] }) => (command as { name: string }).name),
    ['evalsha'],
  );
});

test('a request that nginx sends to a second intake, as the first went away with it, is to be signed anew', async () => {
  const store = newStore();
  await using first = await openServer(store, { goesAway: true });
  await using second = await openServer(store);
  const port = await freePort();
  const location = 'proxy_pass http://intakes; proxy_next_upstream error timeout non_idempotent;';
  await using _ = await startNginx(
    `upstream intakes { server 127.0.0.1:${first.port} max_fails=0; server 127.0.0.1:${second.port} backup; }
server { listen 127.0.0.1:${port}; location /acme/ { ${location} } location / { return 204; } }`,
    port,
  );
  const key = makeClientKey();
  const front = `http://127.0.0.1:${port}`;
  const { status, kind, headers } = await second.post('/by-key', key, { jwk: key.jwk }, '', front);
  assert.deepEqual([status, kind], [400, 'badNonce']);
  assert.deepEqual([first.asked.length, second.asked.length], [1, 0]);
  // As a client does then, with the nonce of that answer.
  const nonce = headers.get('Replay-Nonce');
  assert.equal((await second.post('/by-key', key, { jwk: key.jwk, nonce })).status, 200);
});

suite('an account', () => {
  test('is told that it does not exist, by whatever it signs with', async () => {
    await using server = await openServer();
    const { status, kind } = await server.post('/by-account', makeClientKey(), { kid: urls.account('none') });
    assert.deepEqual([status, kind], [400, 'accountDoesNotExist']);
  });

  test('that was deactivated is refused, also where its key was remembered', async () => {
    await using server = await openServer();
    const key = makeClientKey();
    const kid = urls.account((await server.keep(key)).id);
    await server.post('/by-account', key, { kid });
    await server.keep(key, { status: 'deactivated' });
    const { status, kind } = await server.post('/by-account', key, { kid });
    assert.deepEqual([status, kind], [401, 'unauthorized']);
  });

  test('goes by its new key at once, and not by the old one any more', async () => {
    await using server = await openServer();
    const [old, key] = [makeClientKey(), makeClientKey('EdDSA')];
    const { id } = await server.keep(old);
    const kid = urls.account(id);
    await server.post('/by-account', old, { kid });
    await server.keep(key, { id });
    assert.equal((await server.post('/by-account', old, { kid })).kind, 'malformed');
    assert.equal((await server.post('/by-account', key, { kid })).status, 200);
    assert.equal((await server.post('/by-account', old, { kid })).kind, 'malformed');
  });

  test('whose record bears no seal of this installation is not there', async () => {
    const store = newStore();
    await using server = await openServer(store);
    const key = makeClientKey();
    const { id, ...rest } = await server.keep(key);
    await redis.set(
      openAccounts(store, testSeals, systemClock).key(id),
      `forged ${JSON.stringify({ id, ...rest })}`,
    );
    assert.equal(
      (await server.post('/by-account', key, { kid: urls.account(id) })).kind,
      'accountDoesNotExist',
    );
  });
});
