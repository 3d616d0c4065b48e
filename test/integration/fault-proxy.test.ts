import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import { text } from 'node:stream/consumers';
import { after, before, suite, test } from 'node:test';
import acme from 'acme-client';
import { makeCsr } from '../support/csr.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { freePort } from '../support/free-port.ts';
import { type Pebble, startPebble } from '../support/pebble.ts';
import { waitUntil } from '../support/wait-until.ts';

type Got = { status: number; headers: IncomingHttpHeaders; body: string; json(): Record<string, unknown> };
type Asking = { signal?: AbortSignal };

/** A client of one account that sends what it is told, once, and takes nothing amiss. */
async function openAccount({ directoryUrl, caFile }: FaultProxy) {
  const agent = new Agent({ keepAlive: true, ca: await readFile(caFile) });
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const encode = (value: unknown) =>
    Buffer.from(value === '' ? '' : JSON.stringify(value)).toString('base64url');
  let kid: string | undefined;

  const send = (url: string, method: string, body?: string, { signal }: Asking = {}) =>
    new Promise<Got>((done, fail) => {
      const headers = { 'User-Agent': 'test', ...(body && { 'Content-Type': 'application/jose+json' }) };
      const asked = request(url, { method, agent, headers, ...(signal && { signal }) }, answer => {
        const { statusCode: status = 0, headers } = answer;
        text(answer).then(body => done({ status, headers, body, json: () => JSON.parse(body) }), fail);
      });
      asked.on('error', fail);
      asked.end(body);
    });
  const get = (url: string, asking?: Asking) => send(url, 'GET', undefined, asking);
  const directory = (await get(directoryUrl)).json() as Record<string, string>;
  const urlOf = (name: string) => directory[name] ?? '';

  const sendSigned = (url: string, payload: unknown, nonce: unknown, asking?: Asking) => {
    const who = kid ? { kid } : { jwk: publicKey.export({ format: 'jwk' }) };
    const jws = { protected: encode({ alg: 'ES256', nonce, url, ...who }), payload: encode(payload) };
    const key = { key: privateKey, dsaEncoding: 'ieee-p1363' as const };
    const signature = sign('sha256', Buffer.from(`${jws.protected}.${jws.payload}`), key).toString(
      'base64url',
    );
    return send(url, 'POST', JSON.stringify({ ...jws, signature }), asking);
  };
  const post = async (url: string, payload: unknown, asking?: Asking) =>
    sendSigned(url, payload, (await get(urlOf('newNonce'))).headers['replay-nonce'], asking);

  kid = (await post(urlOf('newAccount'), { termsOfServiceAgreed: true })).headers.location;
  const order = (names: string[], more: object = {}, asking?: Asking) => {
    const identifiers = names.map(value => ({ type: 'dns', value }));
    return post(urlOf('newOrder'), { identifiers, profile: 'default', ...more }, asking);
  };
  return {
    get,
    post,
    sendSigned,
    order,
    urlOf,
    accountUrl: `${kid}`,
    [Symbol.dispose]: () => agent.destroy(),
  };
}

/** Node's code of a broken connection. */
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'an answer',
    error => error.code as string,
  );

const broken = 'ECONNRESET';

suite('fault proxy', () => {
  let pebble: Pebble;

  before(async () => {
    pebble = await startPebble({ httpPort: await freePort(), env: { PEBBLE_VA_ALWAYS_VALID: '1' } });
  });
  after(() => pebble[Symbol.asyncDispose]());

  const ordersAtPebble = () => pebble.requestLog().filter(line => line.includes('order-plz')).length;

  test('takes an order of stock acme-client through, all its URLs leading back to the proxy, and counts by kind', async () => {
    await using proxy = await startFaultProxy(pebble);
    acme.axios.defaults.httpsAgent = new Agent({ ca: await readFile(proxy.caFile) });
    const client = new acme.Client({
      directoryUrl: proxy.directoryUrl,
      accountKey: await acme.crypto.createPrivateEcdsaKey(),
      backoffMin: 50,
      backoffMax: 200,
    });
    const names = ['a.example.org', 'b.example.org'];
    const chain = await client.auto({
      csr: (await makeCsr({ names })).csrPem,
      termsOfServiceAgreed: true,
      skipChallengeVerification: true,
      challengeCreateFn: async () => {},
      challengeRemoveFn: async () => {},
    });
    assert.match(chain, /^-----BEGIN CERTIFICATE-----/);

    const counts = proxy.counts();
    const { newAccount, newOrder, finalize, certificate, renewalInfo, other } = counts;
    assert.deepEqual([newAccount, newOrder, finalize, certificate, renewalInfo, other], [1, 1, 1, 1, 0, 0]);
    const requests = proxy.requests();
    const initiated = requests.filter(({ kind, postAsGet }) => kind === 'challenge' && !postAsGet);
    assert.equal(initiated.length, 2);
    assert.ok(
      requests.every(
        ({ outcome, status, pebbleStatus }) => outcome === 'answered' && status === pebbleStatus,
      ),
    );
    const ofOrder = requests.filter(({ identifiers }) => identifiers?.length === 2).map(({ kind }) => kind);
    assert.deepEqual(
      new Set(ofOrder),
      new Set(['newOrder', 'order', 'authorization', 'challenge', 'finalize', 'certificate']),
    );
    proxy.reset();
    assert.deepEqual([proxy.requests().length, proxy.counts().newOrder], [0, 0]);
  });

  test('reads signed requests: account, payload, POST-as-GET, replaces, profile', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    const made = await account.order(['read.example.org']);
    assert.ok(made.headers.location?.startsWith(new URL('/', proxy.directoryUrl).href));
    await account.post(`${made.headers.location}`, '');
    await account.order(['read.example.org'], { replaces: 'no-id' });
    const [order, read, replacing] = proxy
      .requests()
      .filter(({ kind }) => kind === 'newOrder' || kind === 'order');
    assert.equal(order?.account, account.accountUrl);
    assert.deepEqual(order?.identifiers, [{ type: 'dns', value: 'read.example.org' }]);
    assert.deepEqual([order?.profile, order?.replaces, order?.postAsGet], ['default', undefined, false]);
    assert.deepEqual([read?.kind, read?.postAsGet, read?.payload], ['order', true, undefined]);
    assert.deepEqual(read?.identifiers, order?.identifiers);
    assert.deepEqual([replacing?.replaces, replacing?.status], ['no-id', 400]);
  });

  test('holds a request before Pebble sees it until it is released, and tells when it is held', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    const rule = proxy.rule({ kind: 'newOrder', nth: 2, do: { hold: 'before' } });
    assert.equal((await account.order(['one.example.org'])).status, 201);
    const before = ordersAtPebble();
    const second = account.order(['two.example.org']);
    const held = await rule.hit();
    assert.deepEqual(held.identifiers?.[0]?.value, 'two.example.org');
    assert.equal((await account.order(['three.example.org'])).status, 201);
    assert.deepEqual([held.outcome, held.pebbleStatus, ordersAtPebble()], ['open', undefined, before + 1]);
    rule.release();
    assert.equal((await second).status, 201);
    assert.deepEqual([held.outcome, rule.hits], ['answered', 1]);
  });

  test('holds an answer after Pebble acted; a client that hangs up meanwhile does no harm', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    for (const [side, acted] of [
      ['after', 201],
      ['before', undefined],
    ] as const) {
      const rule = proxy.rule({ kind: 'newOrder', do: { hold: side } });
      const client = new AbortController();
      const made = codeOf(account.order(['hold.example.org'], {}, { signal: client.signal }));
      const held = await rule.hit();
      client.abort();
      assert.equal(await made, 'ABORT_ERR');
      await waitUntil('the proxy sees it', () => held.outcome === 'hung up');
      rule.remove();
      assert.equal(held.pebbleStatus, acted);
    }
    assert.equal((await account.order(['hold.example.org'])).status, 201);
  });

  test('lets a held request go on at a signal', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    const until = new AbortController();
    const rule = proxy.rule({ kind: 'newOrder', do: { hold: 'before', until: until.signal } });
    const made = account.order(['signal.example.org']);
    await rule.hit();
    until.abort();
    assert.equal((await made).status, 201);
  });

  test('drops a request before Pebble sees it, or the answer after Pebble acted', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    const before = ordersAtPebble();
    proxy.rule({ kind: 'newOrder', nth: 1, do: { drop: 'before' } });
    proxy.rule({ kind: 'newOrder', nth: 2, do: { drop: 'after' } });
    assert.equal(await codeOf(account.order(['drop.example.org'])), broken);
    assert.equal(ordersAtPebble(), before);
    assert.equal(await codeOf(account.order(['drop.example.org'])), broken);
    assert.equal(ordersAtPebble(), before + 1);
    const orders = proxy.requests().filter(({ kind }) => kind === 'newOrder');
    assert.deepEqual(
      orders.map(({ outcome, status, pebbleStatus }) => [outcome, status, pebbleStatus]),
      [
        ['dropped', undefined, undefined],
        ['dropped', undefined, 201],
      ],
    );
  });

  test('delays before or after Pebble, and slows every answer', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    const last = () => proxy.requests().at(-1);
    /** Asks while one answer is on its way, and shows how far it has come; then hangs up. */
    const askInVain = async (until: () => Promise<unknown>) => {
      const patience = new AbortController();
      const asked = codeOf(account.get(proxy.directoryUrl, patience));
      await until();
      assert.equal(last()?.outcome, 'open');
      const pebbleStatus = last()?.pebbleStatus;
      patience.abort();
      assert.equal(await asked, 'ABORT_ERR');
      return pebbleStatus;
    };
    const untilPebbleAnswered = () =>
      waitUntil('Pebble to answer', () => last()?.outcome === 'open' && last()?.pebbleStatus === 200);

    const hour = 3_600_000;
    const early = proxy.rule({ kind: 'directory', do: { delay: hour } });
    assert.equal(await askInVain(() => early.hit()), undefined);
    early.remove();
    const late = proxy.rule({ kind: 'directory', do: { delay: hour, side: 'after' } });
    assert.equal(await askInVain(() => late.hit()), 200);
    late.remove();
    const both = (['before', 'after'] as const).map(side =>
      proxy.rule({ kind: 'directory', do: { delay: 1, side } }),
    );
    assert.equal((await account.get(proxy.directoryUrl)).status, 200);
    assert.deepEqual(
      [early, late, ...both].map(({ hits }) => hits),
      [1, 1, 1, 1],
    );
    proxy.slow(hour);
    assert.equal(await askInVain(untilPebbleAnswered), 200);
    for (const milliseconds of [1, 0]) {
      proxy.slow(milliseconds);
      assert.equal((await account.get(proxy.directoryUrl)).status, 200);
    }
  });

  test('answers with status, problem and Retry-After without asking Pebble, and with a nonce that Pebble takes', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    const before = ordersAtPebble();
    const problem = { type: 'serverInternal', detail: 'try later', subproblems: [{ type: 'about:blank' }] };
    const answer = { status: 500, headers: { 'Retry-After': '60' }, problem };
    const rule = proxy.rule({ kind: 'newOrder', from: 2, times: 2, do: { answer } });
    const answers: Got[] = [];
    for (let count = 0; count < 4; count++) answers.push(await account.order(['answer.example.org']));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [201, 500, 500, 201],
    );
    assert.deepEqual([rule.hits, ordersAtPebble()], [2, before + 2]);
    const refused = answers[1];
    assert.equal(refused?.headers['retry-after'], '60');
    assert.equal(refused?.headers['content-type'], 'application/problem+json');
    assert.deepEqual(refused?.json(), {
      ...problem,
      type: 'urn:ietf:params:acme:error:serverInternal',
      status: 500,
    });
    const nonce = refused?.headers['replay-nonce'];
    assert.equal((await account.sendSigned(account.accountUrl, '', nonce)).status, 200);
  });

  test('answers what a function makes of the request, and lets pass what it makes nothing of', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    const answer = ({ path }: { path: string }) =>
      path.includes('x') ? { status: 418, body: { path } } : undefined;
    const rule = proxy.rule({
      kind: 'other',
      when: ({ method }) => method === 'GET',
      times: 1,
      do: { answer },
    });
    const ask = (path: string) => account.get(new URL(path, proxy.directoryUrl).href);
    assert.equal((await ask('/a')).status, 404);
    assert.deepEqual((await ask('/x')).json(), { path: '/x' });
    assert.equal((await ask('/x')).status, 404);
    assert.equal(rule.hits, 1);
  });

  test("rewrites Pebble's answer", async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    const made = await account.order(['rewrite.example.org']);
    proxy.rule({
      kind: 'order',
      times: 1,
      do: {
        rewrite: ({ headers, body }) => ({
          headers: { ...headers, 'retry-after': '7' },
          body: JSON.stringify({ ...JSON.parse(body), status: 'processing' }),
        }),
      },
    });
    const rewritten = await account.post(made.headers.location ?? '', '');
    assert.deepEqual([rewritten.json().status, rewritten.headers['retry-after']], ['processing', '7']);
    assert.equal((await account.post(made.headers.location ?? '', '')).json().status, 'pending');
  });

  test('breaks the connection in the middle of a body', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    proxy.rule({ kind: 'directory', times: 1, do: { cutAfter: 10 } });
    assert.equal(await codeOf(account.get(proxy.directoryUrl)), broken);
    assert.equal(proxy.requests().at(-1)?.outcome, 'cut');
    assert.equal((await account.get(proxy.directoryUrl)).status, 200);
  });

  test('several rules act on one request in the order in which they were added; one without an action only watches', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    const watch = proxy.rule({ kind: ['directory', 'newOrder'] });
    const hold = proxy.rule({ kind: 'directory', do: { hold: 'before' } });
    const first = proxy.rule({ kind: 'directory', do: { answer: { status: 500, body: 'first' } } });
    const second = proxy.rule({ kind: 'directory', do: { answer: { status: 501, body: 'second' } } });
    proxy.rule({ do: { rewrite: ({ body }) => ({ body: `${body}!` }) } });
    const got = account.get(proxy.directoryUrl);
    await Promise.all([watch.hit(), hold.hit()]);
    hold.release();
    assert.deepEqual(await got.then(({ status, body }) => [status, body]), [500, 'first!']);
    assert.deepEqual([first.hits, second.hits], [1, 0]);
  });

  test('hit() says what it waited for when nothing comes, and when the rule is removed', async () => {
    await using proxy = await startFaultProxy(pebble);
    const rule = proxy.rule({ kind: 'finalize' });
    await assert.rejects(rule.hit(1, 20), /timed out: it hit finalize request 0 times, not 1/);
    const hit = rule.hit();
    rule.remove();
    await assert.rejects(hit, /the rule was removed/);
  });

  test('goes down, so that connections are refused, and comes back on the same port', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    proxy.rule({ kind: 'directory', times: 1, do: { hold: 'before' } });
    const held = codeOf(account.get(proxy.directoryUrl));
    await waitUntil('it is held', () => proxy.counts().directory === 2);
    await proxy.goDown();
    assert.equal(await held, broken);
    assert.equal(await codeOf(account.get(proxy.directoryUrl)), 'ECONNREFUSED');
    await proxy.comeBack();
    assert.equal((await account.order(['back.example.org'])).status, 201);
  });

  test('presents a wrong certificate, also to clients that were connected, and the right one again', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    await proxy.presentWrongCertificate();
    // The first request may still meet the connection that was broken.
    const untrusted = async () =>
      (await codeOf(account.get(proxy.directoryUrl))) === 'DEPTH_ZERO_SELF_SIGNED_CERT';
    await waitUntil('the certificate is seen', untrusted);
    await proxy.presentRightCertificate();
    assert.equal((await account.get(proxy.directoryUrl)).status, 200);
  });

  test('breaks the connection when Pebble is away, and says why', async () => {
    await using proxy = await startFaultProxy({
      ...pebble,
      directoryUrl: `https://127.0.0.1:${await freePort()}/dir`,
    });
    const agent = new Agent({ ca: await readFile(proxy.caFile) });
    const asked = new Promise((done, fail) => {
      request(proxy.directoryUrl, { agent }, done).on('error', fail).end();
    });
    assert.equal(await codeOf(asked), broken);
    const [{ outcome, error } = { outcome: '', error: undefined }] = proxy.requests();
    assert.deepEqual([outcome, (error as NodeJS.ErrnoException).code], ['failed', 'ECONNREFUSED']);
  });

  suite("plays Let's Encrypt:", { concurrency: true }, () => {
    const texts = {
      ordersPerAccount: /^too many new orders \(300\) from this account in the last 3h0m0s, retry after /,
      certificatesPerDomain:
        /^too many certificates \(50\) already issued for "example.org" in the last 168h0m0s, retry /,
      certificatesPerExactSet:
        /^too many certificates \(5\) already issued for this exact set of identifiers in the last /,
      failedAuthorizations:
        /^too many failed authorizations \(5\) for "limit.example.org" in the last 1h0m0s, retry after /,
    } as const;
    for (const [limit, detail] of Object.entries(texts)) {
      test(`the limit ${limit} lets through what it allows, then answers 429 until the window has passed`, async () => {
        let now = Date.parse('2026-11-22T20:00:00.500Z');
        await using proxy = await startFaultProxy(pebble, () => now);
        using account = await openAccount(proxy);
        const rule = proxy.playRateLimit({ limit: limit as keyof typeof texts, allow: 1, perSeconds: 60 });
        assert.equal((await account.order(['limit.example.org'])).status, 201);
        now += 20_000;
        const refused = await account.order(['limit.example.org']);
        assert.equal(refused.status, 429);
        assert.equal(refused.headers['retry-after'], '40');
        const problem = refused.json();
        assert.equal(problem.type, 'urn:ietf:params:acme:error:rateLimited');
        assert.match(`${problem.detail}`, detail);
        const until = /retry after (.{19} UTC): see https:\/\/letsencrypt\.org\/docs\/rate-limits\/#/.exec(
          `${problem.detail}`,
        );
        assert.equal(until?.[1], '2026-11-22 20:01:00 UTC');
        // Exempt: Pebble's own.
        assert.equal((await account.order(['limit.example.org'], { replaces: 'x' })).status, 400);
        now += 40_000;
        assert.equal((await account.order(['limit.example.org'])).status, 201);
        assert.equal(rule.hits, 1);
      });
    }

    test('a limit of one name leaves the others alone', async () => {
      await using proxy = await startFaultProxy(pebble);
      using account = await openAccount(proxy);
      proxy.playRateLimit({ limit: 'failedAuthorizations', name: 'bad.example.org' });
      const refused = await account.order(['good.example.org', 'bad.example.org']);
      assert.deepEqual([refused.status, refused.headers['retry-after']], [429, '3600']);
      assert.equal((await account.order(['good.example.org'])).status, 201);
    });

    test('a paused account gets 429 without Retry-After and a link to the portal', async () => {
      await using proxy = await startFaultProxy(pebble);
      using account = await openAccount(proxy);
      const rule = proxy.playPaused({ name: 'paused.example.org' });
      const refused = await account.order(['paused.example.org']);
      assert.deepEqual([refused.status, refused.headers['retry-after']], [429, undefined]);
      assert.match(
        `${refused.json().detail}`,
        /for paused\.example\.org and .* https:\/\/portal\.letsencrypt\.org\/sfe\//,
      );
      assert.equal((await account.order(['other.example.org'])).status, 201);
      rule.remove();
      assert.equal((await account.order(['paused.example.org'])).status, 201);
    });

    test('a busy load balancer answers 503 in HTML, with Retry-After and without a nonce', async () => {
      await using proxy = await startFaultProxy(pebble);
      using account = await openAccount(proxy);
      proxy.playBusyLoadBalancer({ kind: 'newOrder', retryAfter: 30 });
      const { status, headers, body } = await account.order(['busy.example.org']);
      assert.deepEqual([status, headers['retry-after'], headers['content-type']], [503, '30', 'text/html']);
      assert.equal(headers['replay-nonce'], undefined);
      assert.match(body, /^<html>/);
    });

    test('a pending or ready order is handed out again for the same account, names and profile, until it is finalized', async () => {
      await using proxy = await startFaultProxy(pebble);
      using account = await openAccount(proxy);
      using stranger = await openAccount(proxy);
      const rule = proxy.playOrderReuse();
      const names = ['one.reuse.example.org', 'two.reuse.example.org'];
      const first = await account.order(names);
      const location = `${first.headers.location}`;
      const again = await account.order(names.toReversed());
      assert.deepEqual(
        [again.status, again.headers.location, again.body],
        [201, location, JSON.stringify(first.json())],
      );
      for (const other of [
        await stranger.order(names),
        await account.order(names.slice(1)),
        await account.order(names, { profile: 'shortlived' }),
      ]) {
        assert.equal(other.status, 201);
        assert.notEqual(other.headers.location, location);
      }
      assert.equal(rule.hits, 1);

      const { authorizations, finalize } = first.json() as { authorizations: string[]; finalize: string };
      for (const url of authorizations) {
        const { challenges } = (await account.post(url, '')).json() as { challenges: { url: string }[] };
        await account.post(`${challenges[0]?.url}`, {});
      }
      await waitUntil(
        'it is ready',
        async () => (await account.post(location, '')).json().status === 'ready',
      );
      const ready = await account.order(names);
      assert.deepEqual([ready.headers.location, ready.json().status], [location, 'ready']);
      const { csrPem } = await makeCsr({ names });
      const csr = csrPem
        .replace(/-----.*-----|\s/g, '')
        .replace(/\+/g, '-')
        .replace(/\//g, '_')
        .replace(/=/g, '');
      assert.equal((await account.post(finalize, { csr })).status, 200);
      await waitUntil(
        'it is valid',
        async () => (await account.post(location, '')).json().status === 'valid',
      );
      assert.notEqual((await account.order(names)).headers.location, location);
    });

    test('of two orders that replace one certificate, the second is refused while the first is under way', async () => {
      await using proxy = await startFaultProxy(pebble);
      using account = await openAccount(proxy);
      // Pebble knows no such certificate: it shall believe that the order replaces nothing.
      const made = await account.order(['replace.example.org']);
      const answer = { status: 201, headers: { location: `${made.headers.location}` }, body: made.json() };
      proxy.rule({ kind: 'newOrder', when: ({ replaces }) => replaces !== undefined, do: { answer } });
      proxy.playOrderReuse();
      assert.equal((await account.order(['replace.example.org'], { replaces: 'a.b' })).status, 201);
      const second = await account.order(['replace.example.org'], { replaces: 'a.b' });
      assert.deepEqual(
        [second.status, second.json().type],
        [409, 'urn:ietf:params:acme:error:alreadyReplaced'],
      );
    });
  });

  test('tells the remaining kinds: account, key change, revocation, renewal information', async () => {
    await using proxy = await startFaultProxy(pebble);
    using account = await openAccount(proxy);
    await account.post(account.accountUrl, { contact: [] });
    await account.post(account.urlOf('keyChange'), {});
    await account.post(account.urlOf('revokeCert'), {});
    const id = createHash('sha1').update('id').digest('base64url');
    await account.get(`${account.urlOf('renewalInfo')}/${id}.AA`);
    const { account: accounts, newAccount, keyChange, revokeCert, renewalInfo, other } = proxy.counts();
    assert.deepEqual([accounts, newAccount, keyChange, revokeCert, renewalInfo, other], [1, 1, 1, 1, 1, 0]);
  });
});
