import assert from 'node:assert/strict';
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { after, suite, test } from 'node:test';
import { type AccountObject, kindOf, readObject } from '../../support/acme-answers.ts';
import {
  type AcmeAnswer,
  type AcmeClient,
  type AcmeClientOptions,
  toCsrField,
  toDns,
} from '../../support/acme-client.ts';
import { keyedEab, otherEab, startAcmeFleet } from '../../support/acme-fleet.ts';
import {
  bindAccount,
  type ClientKey,
  type EabKey,
  makeClientKey,
  toClientKey,
} from '../../support/acme-jws.ts';
import { makeCsr } from '../../support/csr.ts';

// What clients of the ACME server try that is not theirs, or not to be borne.

const acme = await startAcmeFleet({ roles: ['intake', 'intake', 'worker', 'responder'] });
after(() => acme[Symbol.asyncDispose]());
const { fleet } = acme;
const { redisClient: redis } = fleet;

async function open(options: Partial<AcmeClientOptions> = {}): Promise<AcmeClient> {
  const client = await acme.open(options);
  after(() => client[Symbol.dispose]());
  return client;
}

async function openAccount(eab: EabKey = keyedEab): Promise<AcmeClient> {
  const client = await open();
  const made = await client.newAccount({}, { eab });
  assert.equal(made.status, 201, made.body);
  return client;
}

const freshName = (domain = 'example.org') => `h${randomBytes(5).toString('hex')}.${domain}`;

/** A tenant with an order of each state, and a certificate. */
async function openTenant() {
  const client = await openAccount();
  const name = freshName();
  const ready = await client.newOrder({ identifiers: toDns(name) });
  const placed = await client.newOrder({ identifiers: toDns(name) });
  const { csrPem, keyPem } = await makeCsr({ names: [name] });
  const ended = await client.finalize(placed, csrPem);
  assert.equal(ended.status, 'valid', JSON.stringify(ended.error));
  const chain = await client.certificate(ended.certificate ?? '');
  const { challenges } = await client.readAuthorization(ready.order.authorizations[0] ?? '');
  const { orders = '' } = await client.readAccount();
  return { client, name, ready, placed, ended, chain, keyPem, challenges, orders };
}

const tenant = await openTenant();

/** What of an answer could tell one thing from another. */
function toWords({ status, body, headers }: AcmeAnswer): string {
  const { date: _, 'replay-nonce': __, 'x-request-id': ___, ...shown } = headers;
  return JSON.stringify([status, body.replace(/"urn:uuid:[^"]+"/, '""'), shown]);
}

suite('another client’s', async () => {
  const strangers = [
    ['an account of the same block', await openAccount()],
    ['an account of another block', await openAccount(otherEab)],
  ] as const;
  const { client, ready, placed, ended, challenges, orders } = tenant;
  const { csrPem } = await makeCsr({ names: [tenant.name] });
  const id = randomBytes(16).toString('base64url');
  const idOf = (url: string) => /(?:account|order|authz|challenge|certificate)\/([^/]+)/.exec(url)?.[1] ?? '';
  const other = (url: string) => url.replace(idOf(url), id);
  const kinds: [what: string, url: string, payloads: (Record<string, unknown> | undefined)[]][] = [
    ['order', ready.url, [undefined, {}]],
    ['order that is ended', placed.url, [undefined]],
    ['finalize', ready.order.finalize, [undefined, { csr: toCsrField(csrPem) }, { csr: 'x' }]],
    ['authorization', ready.order.authorizations[0] ?? '', [undefined, { status: 'deactivated' }]],
    ...challenges.map(
      ({ type, url }) => [`challenge ${type}`, url, [undefined, {}]] as [string, string, undefined[]],
    ),
    ['certificate', ended.certificate ?? '', [undefined]],
    ['account', client.kid, [undefined, { contact: ['mailto:x@example.org'] }, { status: 'deactivated' }]],
    ['orders', orders, [undefined]],
  ];

  for (const [who, stranger] of strangers)
    test(`URLs are to ${who} as if they were not there, of each kind`, async () => {
      for (const [what, url, payloads] of kinds)
        for (const payload of payloads) {
          const answer = await stranger.post(url, payload);
          assert.ok(answer.status >= 400, `${what}: ${answer.body}`);
          const none = await stranger.post(other(url), payload);
          const [own, absent] = [toWords(answer).replaceAll(idOf(url), id), toWords(none)];
          assert.equal(own, absent, what);
        }
      assert.equal((await client.readOrder(ready.url)).status, 'ready');
      assert.equal((await client.readAccount()).status, 'valid');
      const { orders: listed } = await stranger.readAccount();
      assert.notEqual(listed, orders);
    });

  test('kid with one’s own signature is refused, for all that it could do', async () => {
    for (const [, stranger] of strangers) {
      const kid = (header: Record<string, unknown>) => ({ ...header, kid: client.kid });
      for (const [url, payload] of [
        [client.kid, undefined],
        [client.directory.newOrder, { identifiers: toDns(tenant.name) }],
        [ready.url, undefined],
      ] as const) {
        const answer = await stranger.post(url, payload, { header: kid });
        assert.deepEqual([answer.status, kindOf(answer.problem)], [400, 'malformed'], answer.body);
      }
    }
  });

  test('certificate is not replaced by an order, and no more is told than of one that is not there', async () => {
    for (const [, stranger] of strangers) {
      const answers = await Promise.all(
        [toRenewalId(new X509Certificate(tenant.chain)), 'AAAAAAAAAAAAAAAAAAAAAAAAAAA.AAAA'].map(replaces =>
          stranger.post(client.directory.newOrder, { identifiers: toDns(tenant.name), replaces }),
        ),
      );
      const kinds = answers.map(({ problem }) => kindOf(problem));
      assert.ok(!kinds.includes('alreadyReplaced'), kinds.join());
    }
  });

  test('record, moved in Redis to one’s own id, is not believed', async () => {
    const [, stranger] = strangers[0];
    const own = await stranger.newOrder({ identifiers: toDns(freshName()) });
    const [ours, theirs] = [own.url, ready.url].map(
      url => `{quarry}:acme:order:${url.split('/').at(-1)}`,
    ) as [string, string];
    const [mine, foreign] = await Promise.all([redis.get(ours), redis.get(theirs)]);
    assert.ok(mine !== null && foreign !== null, 'orders are where the test looks for them');
    await redis.set(ours, foreign);
    const answer = await stranger.post(own.url, undefined);
    assert.equal(answer.status, 404, answer.body);
    await redis.set(ours, mine.replace(/ready/, 'valid'));
    assert.ok([200, 404].includes((await stranger.post(own.url, undefined)).status));
  });

  test('account record, put under one’s own id, opens nothing', async () => {
    const stranger = await openAccount();
    const keyOf = (kid: string) => `{quarry}:acme:account:${kid.split('/').at(-1)}`;
    const [own, theirs] = await Promise.all([redis.get(keyOf(stranger.kid)), redis.get(keyOf(client.kid))]);
    assert.ok(own !== null && theirs !== null);
    await redis.set(keyOf(client.kid), own);
    const answer = await stranger.post(client.kid, undefined, {
      header: header => ({ ...header, kid: client.kid }),
    });
    await redis.set(keyOf(client.kid), theirs);
    assert.ok(answer.status >= 400, answer.body);
    assert.equal((await client.readAccount()).status, 'valid');
  });
});

/** RFC 9773 section 4.1. */
function toRenewalId({ raw, serialNumber }: X509Certificate): string {
  const at = raw.indexOf(Buffer.from([0x80, 0x14]), raw.indexOf(Buffer.from('0603551d23', 'hex'))) + 2;
  const digits = /^[89A-F]/.test(serialNumber) ? `00${serialNumber}` : serialNumber;
  const serial = Buffer.from(digits, 'hex');
  return [raw.subarray(at, at + 20), serial].map(bytes => bytes.toString('base64url')).join('.');
}

suite('JSON that is made to be read in two ways, or to cost much', () => {
  const { client } = tenant;
  const { newOrder } = client.directory;
  const refused = async (text: string, ...kinds: string[]) => {
    const answer = await client.post(newOrder, text);
    assert.ok([400, 413].includes(answer.status), answer.body);
    assert.ok(kinds.includes(kindOf(answer.problem) ?? ''), answer.body);
  };
  const good = JSON.stringify(toDns(tenant.name));

  test('a name that is there twice is refused', async () => {
    await refused(`{"identifiers":${good},"identifiers":${good}}`, 'malformed');
    await refused(`{"identifiers":${good},"\\u0069dentifiers":${good}}`, 'malformed');
    const twice = await client.post(client.kid, undefined, {
      header: header => JSON.stringify(header).replace(/}$/, ',"alg":"ES256"}'),
    });
    assert.equal(kindOf(twice.problem), 'malformed');
  });

  test('depth that nobody needs is refused', async () => {
    await refused(`{"identifiers":${'['.repeat(20_000)}${']'.repeat(20_000)}}`, 'malformed');
    await refused(`{"identifiers":${'{"a":'.repeat(100)}1${'}'.repeat(100)}}`, 'malformed');
  });

  test('a body of more than 64 KiB is refused, and one of less is not', async () => {
    const large = await client.post(client.kid, { x: 'x'.repeat(60_000) });
    assert.ok([400, 413].includes(large.status), large.body);
    assert.equal((await client.post(client.kid, { x: 'x'.repeat(40_000) })).status, 200);
  });

  test('names of JavaScript’s own objects are names like others', async () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      const text = `{"${name}":{"status":"valid","identifiers":${good}}}`;
      await refused(text, 'malformed');
      assert.equal((await client.post(client.kid, text)).status, 200);
    }
    const inner = '"__proto__":{"value":"www.example.net"}';
    const odd = `{"identifiers":[{"type":"dns","value":"${tenant.name}",${inner}}]}`;
    const answer = await client.post(newOrder, odd);
    assert.ok([201, 400].includes(answer.status), answer.body);
  });

  test('an order of very many names is refused', async () => {
    const many = Array.from({ length: 1_000 }, (_, at) => `n${at}.example.org`);
    await refused(JSON.stringify({ identifiers: toDns(...many) }), 'malformed', 'rejectedIdentifier');
  });

  test('what a client says comes back without control characters, in a body and in no header', async () => {
    const texts = ['\r\nX-Odd: 1', '\u2028', '\u0000', '\u001b[31m', '\u202e', '"}{'];
    for (const text of texts) {
      const answers = [
        await client.post(newOrder, { identifiers: [{ type: `dns${text}`, value: tenant.name }] }),
        await client.post(newOrder, { identifiers: toDns(`${text}.example.org`) }),
        await client.post(newOrder, { identifiers: toDns(tenant.name), profile: text }),
        await client.post(newOrder, { identifiers: toDns(tenant.name), replaces: text }),
        await client.post(client.kid, undefined, { header: header => ({ ...header, kid: text }) }),
        await client.post(client.kid, undefined, { header: header => ({ ...header, url: text }) }),
        await client.post(client.kid, undefined, { header: header => ({ ...header, alg: text }) }),
        await client.post(client.kid, undefined, { header: header => ({ ...header, nonce: text }) }),
        await client.post(client.kid, { contact: [`mailto:${text}@example.org`] }),
      ];
      for (const { status, headers, body } of answers) {
        assert.ok(status >= 400 && status < 500, body);
        assert.equal(headers['x-odd'], undefined);
      }
    }
  });
});

suite('floods', () => {
  /** A few keys come from those who wait, such as a worker’s. */
  const slack = 20;
  const rounds = 300;
  /** The limit is met long before. */
  const newAccounts = Number(process.env.QUARRY_TEST_NEW_ACCOUNTS ?? 300);
  /** Its record, what leads to it by its key, its use, and the nonce. */
  const keysOfAccount = 4;

  async function growth(act: () => Promise<void>): Promise<number> {
    const before = await redis.dbsize();
    await act();
    return (await redis.dbsize()) - before;
  }

  test('of nonces cost nothing in Redis', async () => {
    const client = await open();
    const grown = await growth(async () => {
      for (let round = 0; round < rounds; round++) await client.fetchNonce(round % 2 ? 'GET' : 'HEAD');
    });
    assert.ok(grown <= slack, `${grown} keys`);
  });

  test('of requests that nobody has signed, or no account, leave nothing in Redis', async () => {
    const stranger = await open();
    const kid = `${acme.base}/account/${randomBytes(16).toString('base64url')}`;
    const foreign = (header: Record<string, unknown>) => {
      const { jwk: _, ...rest } = header;
      return { ...rest, kid };
    };
    const grown = await growth(async () => {
      for (let round = 0; round < rounds / 3; round++) {
        await tenant.client.post(tenant.client.kid, undefined, { key: makeClientKey() });
        await stranger.post(tenant.client.directory.newOrder, {}, { header: foreign });
        await stranger.post(tenant.client.directory.newOrder, {}, { jwk: true });
      }
    });
    assert.ok(grown <= slack, `${grown} keys`);
  });

  test('of new accounts without a binding, or with one that is made up, leave nothing in Redis', async () => {
    const stranger = await open({ from: '127.0.0.66' });
    const { newAccount } = stranger.directory;
    const grown = await growth(async () => {
      for (let round = 0; round < rounds / 3; round++) {
        const key = makeClientKey();
        const bound = bindAccount({ ...keyedEab, key: 'not the key' }, newAccount, key.jwk);
        const asked = [{}, { externalAccountBinding: bound }, { onlyReturnExisting: true }];
        for (const payload of asked) {
          const { status } = await stranger.post(newAccount, payload, { jwk: true, key });
          assert.ok(status >= 400 && status < 500);
        }
      }
    });
    assert.ok(grown <= slack, `${grown} keys`);
  });

  test('of new accounts by who has a key end, say when to try again, and leave nothing more in Redis', async t => {
    const client = await open({ from: '127.0.0.67' });
    const { newAccount } = client.directory;
    async function ask() {
      const key = makeClientKey();
      const externalAccountBinding = bindAccount(keyedEab, newAccount, key.jwk);
      return client.post(newAccount, { externalAccountBinding }, { jwk: true, key });
    }
    let made = 0;
    while ((await ask()).status === 201) assert.ok(++made < 1_000, 'new accounts are limited');
    assert.ok(made > 0);
    // A new account may find room while the flood goes on, as the rate refills evenly.
    let more = 0;
    const grown = await growth(async () => {
      for (let round = made; round < newAccounts; round++) {
        const { status, problem, headers } = await ask();
        if (status === 201) more++;
        else assert.deepEqual([status, kindOf(problem)], [429, 'rateLimited']);
        if (status !== 201) assert.match(headers['retry-after'] ?? '', /^[1-9]\d*$/);
      }
    });
    const most = slack + keysOfAccount * more;
    assert.ok(grown <= most, `${grown} keys by ${newAccounts - made} more requests, ${more} accounts`);
    t.diagnostic(`${made + more} accounts by ${newAccounts} requests, ${grown} keys more in Redis`);
    // Others go on.
    await openAccount();
  });
});

suite('bindings', () => {
  test('of a stolen key bind another account: a block’s key is for all of its hosts', async () => {
    const one = await openAccount();
    const other = await openAccount();
    assert.notEqual(one.kid, other.kid);
  });

  test('that somebody has read do not bind another key', async () => {
    const [victim, thief] = [await open(), await open()];
    const { newAccount } = victim.directory;
    const externalAccountBinding = bindAccount(keyedEab, newAccount, victim.key.jwk);
    const answer = await thief.post(newAccount, { externalAccountBinding }, { jwk: true });
    assert.ok([400, 401, 403].includes(answer.status), answer.body);
    const own = await victim.newAccount({ externalAccountBinding });
    assert.equal(own.status, 201);
  });

  test('of another server of the same name and key are not for this one', async () => {
    const client = await open();
    const elsewhere = bindAccount(keyedEab, 'https://other.example/acme/new-account', client.key.jwk);
    const answer = await client.newAccount({ externalAccountBinding: elsewhere });
    assert.ok([400, 401, 403].includes(answer.status), answer.body);
  });

  test('by the very same key in another form of the JWK bind it all the same', async () => {
    const client = await open();
    const { kty, crv, x, y } = client.key.jwk;
    const jwk = { y, x, crv, kty, use: 'sig' };
    const externalAccountBinding = bindAccount(keyedEab, client.directory.newAccount, jwk);
    assert.equal((await client.newAccount({ externalAccountBinding })).status, 201);
  });

  test('an account of one block has no names of another, whatever it has been before', async () => {
    const client = await openAccount(otherEab);
    const answer = await client.post(client.directory.newOrder, { identifiers: toDns(freshName()) });
    assert.deepEqual([answer.status, kindOf(answer.problem)], [403, 'rejectedIdentifier']);
    const again = await client.newAccount({}, { eab: keyedEab });
    assert.equal(again.status, 200, again.body);
    assert.equal((await client.newOrder({ identifiers: toDns(freshName()) })).order.status, 'ready');
    const before = await client.post(client.directory.newOrder, {
      identifiers: toDns(freshName('example.net')),
    });
    assert.deepEqual([before.status, kindOf(before.problem)], [403, 'rejectedIdentifier']);
  });
});

suite('key changes', () => {
  test('that somebody has read are not taken again', async () => {
    const client = await openAccount();
    const first: ClientKey = client.key;
    const second = makeClientKey();
    const bodies: unknown[] = [];
    const keep = (jws: unknown) => {
      bodies.push(jws);
      return jws;
    };
    assert.equal((await client.changeKey(second, { jws: keep })).status, 200);
    const replayed = await client.post(client.directory.keyChange, '', { jws: () => bodies[0] });
    assert.equal(kindOf(replayed.problem), 'badNonce', replayed.body);
    // Who has the first key alone signs anew for an account whose key it no longer is.
    const anew = await client.changeKey(makeClientKey(), { key: first });
    assert.ok([400, 401, 403].includes(anew.status), anew.body);
    assert.equal((await client.readAccount()).status, 'valid');
  });

  test('of two at once that want the same key, one account gets it', async () => {
    const [one, other] = [await openAccount(), await openAccount()];
    const wanted = makeClientKey();
    const answers = await Promise.all([one.changeKey(wanted), other.changeKey(wanted)]);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409]);
    const found = await one.post(
      one.directory.newAccount,
      { onlyReturnExisting: true },
      { jwk: true, key: wanted },
    );
    const winner = answers[0]?.status === 200 ? one : other;
    assert.equal(found.headers.location, winner.kid);
    assert.equal((await one.readAccount()).status, 'valid');
    assert.equal((await other.readAccount()).status, 'valid');
  });

  test('of many new accounts at once with one key, there is one account', async () => {
    const client = await open();
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => client.newAccount({}, { eab: keyedEab })),
    );
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 200, 200, 200, 201]);
    assert.equal(new Set(answers.map(({ headers }) => headers.location)).size, 1);
  });
});

suite('revocation', () => {
  test('by a key that is not the certificate’s is refused, whoever says that it is', async () => {
    const certificate = new X509Certificate(tenant.chain).raw.toString('base64url');
    const thief = await open();
    const twist = { jwk: true as const, key: makeClientKey() };
    const answer = await thief.post(thief.directory.revokeCert, { certificate }, twist);
    assert.deepEqual([answer.status, kindOf(answer.problem)], [403, 'unauthorized'], answer.body);
    const claimed = toClientKey(createPrivateKey(tenant.keyPem)).jwk;
    const forged = await thief.post(
      thief.directory.revokeCert,
      { certificate },
      { ...twist, header: header => ({ ...header, jwk: claimed }) },
    );
    assert.ok([400, 401, 403].includes(forged.status), forged.body);
    assert.equal((await fleet.pebble.certificateStatus(tenant.chain)).status, 'Valid');
  });
});

test('an account shows its binding to itself, and neither its key nor another’s', async () => {
  const client = await openAccount();
  const shown = readObject<AccountObject>(await client.post(client.kid, undefined));
  assert.ok(!JSON.stringify(shown).includes(keyedEab.key));
  for (const { key } of [keyedEab, otherEab]) {
    fleet.secrets.add(key);
    fleet.secrets.add(Buffer.from(key).toString('base64url'));
  }
});
