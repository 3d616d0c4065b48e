import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { checkAnswer, checkNonce, checkProblem, kindOf, readObject } from '../../support/acme-answers.ts';
import {
  type AcmeAnswer,
  type AcmeClient,
  type Directory,
  type Payload,
  type Twist,
  toDns,
} from '../../support/acme-client.ts';
import { keyedEab, startAcmeFleet } from '../../support/acme-fleet.ts';
import { type Alg, macJws, makeClientKey, signJws, toBase64url } from '../../support/acme-jws.ts';
import { ask } from '../../support/ask.ts';

// How an ACME server has to take messages: RFC 8555 sections 5 and 6. conformance.md has the table. The
// client itself checks of every answer what all answers have in common.

const acme = await startAcmeFleet({ roles: ['intake', 'intake'] });
after(() => acme[Symbol.asyncDispose]());

async function openAccount(alg?: Alg): Promise<AcmeClient> {
  const client = await acme.open(alg && { key: makeClientKey(alg) });
  after(() => client[Symbol.dispose]());
  const made = await client.newAccount({}, { eab: keyedEab });
  assert.equal(made.status, 201, made.body);
  return client;
}

const client = await openAccount();
const { directory } = client;
const web = { ca: acme.ca, headers: { 'User-Agent': 'quarry-tests' } };

type Refusal = [status: number | number[], ...kinds: string[]];

function assertRefused(answer: AcmeAnswer, [status, ...kinds]: Refusal): void {
  assert.ok([status].flat().includes(answer.status), `${answer.status} ${answer.body}`);
  assert.ok(kinds.includes(kindOf(answer.problem) ?? ''), answer.body);
}

/** That the account is read where nothing is wrong, and refused with this. */
async function refuses(twist: Twist, refusal: Refusal, payload?: Payload): Promise<AcmeAnswer> {
  const answer = await client.post(client.kid, payload, twist);
  assertRefused(answer, refusal);
  assert.equal((await client.post(client.kid, undefined)).status, 200);
  return answer;
}

const malformed: Refusal = [400, 'malformed'];
const set = (more: Record<string, unknown>) => (header: Record<string, unknown>) => ({ ...header, ...more });
const without = (name: string) => (header: Record<string, unknown>) => {
  const { [name]: _, ...rest } = header;
  return rest;
};

suite('RFC 8555 section 5 and 6.1, encodings', () => {
  test('a body that is not UTF-8 is refused', async () => {
    const bytes = (jws: object) => Buffer.from(`${JSON.stringify({ ...jws, x: 'ÿ' })}`, 'latin1');
    await refuses({ jws: bytes }, malformed);
  });

  test('a payload that is not UTF-8 is refused', async () => {
    const payload = Buffer.from('{"contact":["mailto:\xff@example.org"]}', 'latin1');
    const signAnew = (jws: { protected: string }) => {
      const header = Buffer.from(jws.protected, 'base64url').toString();
      return signJws(header, payload, client.key);
    };
    await refuses({ jws: signAnew }, malformed, {});
  });

  test('base64 of the other alphabet, and characters of neither, are refused', async () => {
    for (const change of ['+', '/', ' ', '\n', '.', 'é'])
      await refuses({ jws: jws => ({ ...jws, signature: `${change}${jws.signature.slice(1)}` }) }, malformed);
  });
});

suite('RFC 8555 section 6.2, authentication', () => {
  test('the general serialization, with one signature or several, is refused', async () => {
    const general = (times: number) => (jws: { protected: string; payload: string; signature: string }) => {
      const { payload, ...one } = jws;
      return { payload, signatures: Array.from({ length: times }, () => one) };
    };
    await refuses({ jws: general(1) }, malformed);
    await refuses({ jws: general(2) }, malformed);
    await refuses({ jws: jws => ({ ...jws, ...general(1)(jws) }) }, malformed);
  });

  test('the compact serialization is refused', async () => {
    const compact = (jws: Record<string, unknown>) => `${jws.protected}.${jws.payload}.${jws.signature}`;
    await refuses({ jws: compact }, malformed);
    await refuses({ jws: jws => JSON.stringify(compact(jws)) }, malformed);
  });

  test('what is no object of JSON at all is refused', async () => {
    for (const body of ['', ' ', 'null', '[]', '1', '"x"', '{', '{}', '{"protected":1}', '\u0000'])
      await refuses({ jws: () => body }, malformed);
  });

  test('an unencoded payload (RFC 7797), and any header that has to be understood, is refused', async () => {
    await refuses({ header: set({ b64: false, crit: ['b64'] }) }, malformed);
    await refuses({ header: set({ b64: false }) }, malformed);
    await refuses({ header: set({ crit: ['exp'], exp: 1 }) }, malformed);
    await refuses({ header: set({ crit: [] }) }, malformed);
  });

  test('an unprotected header is refused, whatever it has', async () => {
    await refuses({ jws: jws => ({ ...jws, header: {} }) }, malformed);
    await refuses({ jws: jws => ({ ...jws, header: { kid: client.kid } }) }, malformed);
    const unprotected = (jws: object) => ({
      ...jws,
      protected: '',
      header: { alg: 'ES256', kid: client.kid },
    });
    await refuses({ jws: unprotected }, malformed);
  });

  test('a detached payload is refused', async () => {
    await refuses(
      { jws: ({ protected: header, signature }) => ({ protected: header, signature }) },
      malformed,
    );
    await refuses({ jws: jws => ({ ...jws, payload: null }) }, malformed);
  });

  test('a header without an algorithm is refused', async () => {
    await refuses({ header: without('alg') }, malformed);
    await refuses({ header: set({ alg: 256 }) }, malformed);
  });

  test('none and MACs are no algorithms for a request, and the answer names those that are', async () => {
    const bad: Refusal = [400, 'badSignatureAlgorithm'];
    for (const alg of ['none', 'None', 'HS256', 'HS384', 'HS512', 'PS256', 'RS1', 'ES256K', '', 'ES257']) {
      const { problem } = await refuses({ header: set({ alg }) }, bad);
      assert.ok(problem?.algorithms?.includes('ES256'), JSON.stringify(problem));
      assert.ok(!problem?.algorithms?.some(one => /^(none|HS)/i.test(one)));
    }
    const unsigned = (jws: object) => ({ ...jws, signature: '' });
    await refuses({ header: set({ alg: 'none' }), jws: unsigned }, bad);
  });

  test('a MAC made with the account’s public key as if that were a secret is refused', async () => {
    const key = await openAccount('RS256');
    const pem = JSON.stringify(key.key.jwk);
    const macked = (jws: { protected: string; payload: string }) => {
      const header = Buffer.from(jws.protected, 'base64url').toString();
      return macJws(header, Buffer.from(jws.payload, 'base64url'), pem);
    };
    const answer = await key.post(key.kid, undefined, { header: set({ alg: 'HS256' }), jws: macked });
    assertRefused(answer, [400, 'badSignatureAlgorithm']);
  });

  test('a header without a nonce is refused as a bad nonce', async () => {
    await refuses({ header: without('nonce') }, [400, 'badNonce']);
  });

  test('a header without a URL is refused', async () => {
    await refuses({ header: without('url') }, [[400, 401, 403], 'malformed', 'unauthorized']);
    await refuses({ header: set({ url: 1 }) }, [[400, 401, 403], 'malformed', 'unauthorized']);
  });

  test('a header with both kid and jwk is refused, and one with neither', async () => {
    await refuses({ header: set({ jwk: client.key.jwk }) }, malformed);
    await refuses({ header: without('kid') }, malformed);
  });

  test('requests are signed with ES256, ES384, ES512, RS256 and EdDSA', async () => {
    for (const alg of ['ES256', 'ES384', 'ES512', 'RS256', 'EdDSA'] as const) {
      const one = await openAccount(alg);
      assert.equal((await one.readAccount()).status, 'valid');
    }
  });

  test('newAccount takes a jwk, and no kid', async () => {
    const account = { kid: client.kid };
    const { kid: _, ...header } = { ...account };
    const byKid = (own: Record<string, unknown>) => ({ ...without('jwk')(own), ...account, ...header });
    assertRefused(await client.post(directory.newAccount, {}, { jwk: true, header: byKid }), malformed);
  });

  test('newAccount is refused where the jwk is not the key that signed', async () => {
    const { jwk } = makeClientKey();
    const answer = await client.post(directory.newAccount, {}, { jwk: true, header: set({ jwk }) });
    assertRefused(answer, [[400, 401, 403], 'malformed', 'unauthorized']);
  });

  test('all other requests take a kid, and no jwk', async () => {
    const order = { identifiers: toDns('www.example.org') };
    for (const [url, payload] of [
      [client.kid, undefined],
      [directory.newOrder, order],
      [directory.keyChange, {}],
    ] as const)
      assertRefused(await client.post(url, payload, { jwk: true }), malformed);
  });

  test('a kid that is not the URL of an account here is refused', async () => {
    const id = client.kid.split('/').at(-1) ?? '';
    const others = [id, '', `${client.kid}/`, `${client.kid}x`, `https://ca.example/acme/account/${id}`];
    const traversed = `${acme.base}/account/../account/${id}`;
    for (const kid of [...others, client.kid.toUpperCase(), traversed])
      await refuses({ header: set({ kid }) }, [400, 'accountDoesNotExist', 'malformed']);
    await refuses({ header: set({ kid: [client.kid] }) }, malformed);
  });

  test('a request that somebody has changed, or signed with another key, is refused', async () => {
    const changed = (jws: { signature: string }) => {
      const bytes = Buffer.from(jws.signature, 'base64url');
      bytes[0] = (bytes[0] ?? 0) ^ 1;
      return { ...jws, signature: bytes.toString('base64url') };
    };
    const bad: Refusal = [[400, 401, 403], 'malformed', 'unauthorized'];
    await refuses({ jws: changed }, bad);
    await refuses({ jws: jws => ({ ...jws, payload: toBase64url('{}') }) }, bad);
    await refuses({ key: makeClientKey() }, bad);
    await refuses({ key: makeClientKey('ES384'), header: set({ alg: 'ES256' }) }, bad);
    await refuses({ jws: jws => ({ ...jws, signature: '' }) }, bad);
    // A signature in DER, as OpenSSL makes them, is none of JWS (RFC 7518 section 3.4).
    await refuses({ jws: jws => ({ ...jws, signature: toBase64url(Buffer.alloc(72, 48)) }) }, bad);
    await refuses({ jws: jws => ({ ...jws, signature: toBase64url(Buffer.alloc(64)) }) }, bad);
  });

  test('an account key that is weak, private or of no kind that is taken is refused', async () => {
    const { privateKey } = makeClientKey();
    const weak = makeClientKey('RS256', 1024);
    const bad: Refusal = [400, 'badPublicKey', 'malformed', 'badSignatureAlgorithm'];
    const own = await acme.open();
    after(() => own[Symbol.dispose]());
    const offers: Twist[] = [
      { key: weak },
      { header: set({ jwk: privateKey.export({ format: 'jwk' }) }) },
      { header: set({ jwk: { kty: 'oct', k: 'AAAA' } }) },
      { header: set({ jwk: { ...own.key.jwk, crv: 'secp256k1' } }) },
      { header: set({ jwk: { ...own.key.jwk, y: own.key.jwk.x } }) },
      { header: set({ jwk: 'x' }) },
      { header: set({ jwk: {} }) },
    ];
    for (const offer of offers)
      assertRefused(await own.post(directory.newAccount, {}, { jwk: true, ...offer }), bad);
  });

  test('a request of another content type is 415', async () => {
    for (const type of ['application/json', 'application/jose', 'text/plain', 'application/jose+jsonx', ''])
      await refuses({ headers: { 'Content-Type': type } }, [415, 'malformed']);
  });
});

suite('RFC 8555 section 6.3, GET and POST-as-GET', () => {
  const id = 'A'.repeat(22);
  const paths = [
    ...['new-account', 'new-order', 'revoke-cert', 'key-change', `account/${id}`, `account/${id}/orders`],
    ...[`order/${id}`, `order/${id}/finalize`, `authz/${id}/0`, `challenge/${id}/0/http-01`],
    `certificate/${'0'.repeat(64)}`,
  ];

  test('GET is 405 and malformed for all but the directory, newNonce and renewalInfo', async () => {
    for (const path of paths) {
      const answer = await ask(`${acme.base}/${path}`, web);
      checkAnswer(answer, acme.directoryUrl);
      assert.equal(answer.status, 405, path);
      assert.equal(kindOf(checkProblem(answer)), 'malformed');
      assert.equal(answer.headers.allow, 'POST');
    }
  });

  test('a GET of an account’s own URL tells nothing', async () => {
    const answer = await ask(client.kid, web);
    assert.equal(answer.status, 405);
    assert.ok(!answer.body.includes('"contact"'));
  });

  test('POST-as-GET reads an account', async () => {
    const answer = await client.post(client.kid, undefined);
    assert.equal(readObject<{ status: string }>(answer).status, 'valid');
  });

  test('POST without a JWS is refused', async () => {
    for (const path of paths) {
      const headers = { ...web.headers, 'Content-Type': 'application/jose+json' };
      const answer = await ask(`${acme.base}/${path}`, { ...web, method: 'POST', headers, body: '{}' });
      checkAnswer(answer, acme.directoryUrl);
      checkNonce(answer);
      assert.deepEqual([answer.status, kindOf(checkProblem(answer))], [400, 'malformed'], path);
    }
  });

  test('the directory and newNonce answer GET and POST-as-GET', async () => {
    const got = readObject<Directory>(await ask(acme.directoryUrl, web));
    for (const twist of [{}, { jwk: true } as const]) {
      const answer = await client.post(acme.directoryUrl, undefined, twist);
      assert.deepEqual(readObject<Directory>(answer), got);
      const nonce = await client.post(directory.newNonce, undefined, twist);
      assert.deepEqual([nonce.status, nonce.body], [204, '']);
      assert.match(nonce.headers['cache-control'] ?? '', /\bno-store\b/);
    }
  });

  test('a method that nobody uses is 405, and a path that is not there 404, as problems', async () => {
    for (const [method, path, status] of [
      ['PUT', 'new-order', 405],
      ['DELETE', `account/${id}`, 405],
      ['GET', 'new-authz', 404],
      ['GET', '', 404],
      ['POST', 'directory/', 404],
      ['GET', 'Directory', 404],
    ] as const) {
      const answer = await ask(`${acme.base}/${path}`, { ...web, method });
      checkAnswer(answer, acme.directoryUrl);
      assert.deepEqual([answer.status, kindOf(checkProblem(answer))], [status, 'malformed'], path);
    }
  });
});

suite('RFC 8555 section 6.4, the URL of a request', () => {
  test('a request that is signed for any other URL is refused as unauthorized', async () => {
    const { kid } = client;
    const { pathname, port } = new URL(kid);
    const others = [
      directory.newOrder,
      pathname,
      `${kid}/`,
      `${kid}?x`,
      `${kid}#x`,
      kid.replace('https:', 'http:'),
      kid.replace('127.0.0.1', 'localhost'),
      kid.replace(`:${port}`, ''),
      kid.replace('/account/', '/%61ccount/'),
      kid.replace('https:', 'HTTPS:'),
      '',
      `${kid}\n`,
    ];
    for (const url of others) await refuses({ header: set({ url }) }, [[401, 403], 'unauthorized']);
  });

  test('a request that comes for another path, or with a query, is refused, too', async () => {
    const moved = await client.post(`${client.kid}?x=1`, undefined, { header: set({ url: client.kid }) });
    assertRefused(moved, [[401, 403, 404], 'unauthorized', 'malformed']);
    const other = await client.post(directory.newOrder, undefined, { header: set({ url: client.kid }) });
    assertRefused(other, [[401, 403], 'unauthorized']);
  });
});

suite('RFC 8555 section 6.5, nonces', () => {
  test('a nonce is good once, at whichever intake, and a request that came before is refused', async () => {
    const bodies: string[] = [];
    const kept = (jws: object) => {
      bodies.push(JSON.stringify(jws));
      return bodies[0];
    };
    assert.equal((await client.post(client.kid, undefined, { jws: kept })).status, 200);
    for (const to of acme.fleet.all('intake')) {
      const headers = { ...web.headers, 'Content-Type': 'application/jose+json' };
      const path = new URL(client.kid).pathname;
      const answer = await ask(`${to.url}${path}`, {
        ...web,
        method: 'POST',
        headers,
        body: bodies[0] ?? '',
      });
      checkAnswer(answer, acme.directoryUrl);
      assert.deepEqual([answer.status, kindOf(checkProblem(answer))], [400, 'badNonce']);
    }
  });

  test('a nonce is good at an intake that did not give it', async () => {
    for (let round = 0; round < 4; round++)
      for (const from of acme.fleet.all('intake')) {
        const answer = await ask(`${from.url}${new URL(directory.newNonce).pathname}`, web);
        const header = set({ nonce: checkNonce(answer) });
        assert.equal((await client.post(client.kid, undefined, { header })).status, 200);
      }
  });

  test('a nonce that nobody gave is 400 badNonce, with a fresh one that is good', async () => {
    const fresh = await client.fetchNonce();
    const changed = `${fresh.slice(0, -1)}${fresh.endsWith('0') ? '1' : '0'}`;
    for (const nonce of ['AAAA', changed, fresh.toUpperCase(), fresh.slice(1), `${fresh}00`]) {
      client.nonces.length = 0;
      const answer = await refuses({ header: set({ nonce }) }, [400, 'badNonce']);
      assert.match(answer.problem?.detail ?? '', /JWS has an invalid anti-replay nonce/);
    }
  });

  test('a nonce that is no base64url is malformed', async () => {
    for (const nonce of ['', '=', 'AA==', 'a b', 'ä', 'a.b', '\r\n'])
      await refuses({ header: set({ nonce }) }, malformed);
    await refuses({ header: set({ nonce: 7 }) }, malformed);
    await refuses({ header: set({ nonce: null }) }, malformed);
  });

  test('a signed request that is refused has used its nonce, too', async () => {
    const nonce = await client.fetchNonce();
    const header = set({ nonce });
    assertRefused(await client.post(client.kid, '[', { header }), malformed);
    assertRefused(await client.post(client.kid, undefined, { header }), [400, 'badNonce']);
  });

  test('errors have a nonce, too', async () => {
    const answer = await client.post(`${acme.base}/nothing-here`, {});
    assert.equal(answer.status, 404);
    checkNonce(answer);
  });
});

suite('RFC 8555 section 7.2, newNonce', () => {
  test('HEAD is 200 and GET is 204, with a nonce, no body, and not to be stored', async () => {
    const nonces = [await client.fetchNonce('HEAD'), await client.fetchNonce('GET')];
    for (const nonce of nonces)
      assert.equal((await client.post(client.kid, undefined, { header: set({ nonce }) })).status, 200);
  });
});
