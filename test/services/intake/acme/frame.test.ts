import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { AcmeParts } from '../../../../services/intake/acme/routes.ts';
import { hmacBlock, loopbackBlock, openIntake, usualAcme } from '../open-intake.ts';

const url = 'https://quarry.example.org/acme';

/** An intake with an ACME server, which a proxy at another address leads to. */
async function openAcmeIntake(acme: Partial<AcmeParts> & { url: string } = { url }) {
  const intake = await openIntake([hmacBlock], { acme });
  const get = (path: string, how = {}) => fetch(intake.url + path, how);
  return Object.assign(intake, { get });
}

suite('the frame of the ACME server', () => {
  test('has a directory of URLs under the one that is configured, whatever Host is sent', async () => {
    await using intake = await openAcmeIntake();
    const answer = await intake.get('/acme/directory');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('Content-Type'), 'application/json; charset=utf-8');
    const base = 'https://quarry.example.org/acme';
    assert.deepEqual(await answer.json(), {
      ...{ newNonce: `${base}/new-nonce`, newAccount: `${base}/new-account`, newOrder: `${base}/new-order` },
      ...{ revokeCert: `${base}/revoke-cert`, keyChange: `${base}/key-change` },
      ...{ renewalInfo: `${base}/renewal-info`, meta: { externalAccountRequired: true } },
    });
  });

  test('says of itself what is configured, and asks for a key only where no block is without one', async () => {
    const acme = {
      ...{ termsOfService: 'https://example.org/terms', website: 'https://example.org' },
      ...{ caaIdentities: ['ca.example.org'], profiles: { short: 'six days' } },
    };
    await using intake = await openAcmeIntake({
      url,
      acme: { ...usualAcme, ...acme },
      auth: [hmacBlock, loopbackBlock],
    });
    const { meta } = await (await intake.get('/acme/directory')).json();
    assert.deepEqual(meta, { ...acme, externalAccountRequired: false });
  });

  test('hands out nonces, each once: 200 to HEAD, 204 to GET, and with each other answer', async () => {
    await using intake = await openAcmeIntake();
    const answers = [
      await intake.get('/acme/new-nonce', { method: 'HEAD' }),
      await intake.get('/acme/new-nonce'),
      await intake.get('/acme/directory'),
    ];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 204, 200],
    );
    const nonces = answers.map(({ headers }) => headers.get('Replay-Nonce') ?? '');
    assert.equal(new Set(nonces).size, 3);
    for (const nonce of nonces) assert.match(nonce, /^[A-Za-z0-9_-]{20,}$/);
    for (const { headers } of answers) {
      assert.equal(headers.get('Cache-Control'), 'no-store');
      assert.equal(headers.get('Link'), '<https://quarry.example.org/acme/directory>;rel="index"');
      assert.match(headers.get('X-Request-Id') ?? '', /^[0-9a-f-]{36}$/);
    }
  });

  test('answers another method with 405, and another path with 404, both as a problem with a nonce', async () => {
    await using intake = await openAcmeIntake();
    const wrong = await intake.get('/acme/new-nonce', { method: 'PUT' });
    const none = await intake.get('/acme/Directory');
    assert.equal(wrong.headers.get('Allow'), 'GET, HEAD, POST');
    for (const [answer, status] of [
      [wrong, 405],
      [none, 404],
    ] as const) {
      assert.equal(answer.status, status);
      assert.match(answer.headers.get('Content-Type') ?? '', /^application\/problem\+json/);
      assert.match(answer.headers.get('Replay-Nonce') ?? '', /^[0-9a-f]+$/);
      const problem = await answer.json();
      assert.equal(problem.type, 'urn:ietf:params:acme:error:malformed');
      assert.equal(problem.status, status);
    }
  });

  test('leaves all other paths as they are, and under no path of its own has the rest', async () => {
    await using intake = await openAcmeIntake();
    assert.equal((await intake.get('/sign')).headers.get('Allow'), 'POST');
    assert.match(await (await intake.get('/acme2/directory')).text(), /^no such path; post a CSR to \/sign/);
    await using atRoot = await openAcmeIntake({ url: 'https://quarry.example.org' });
    assert.equal((await atRoot.get('/directory')).status, 200);
    assert.equal((await atRoot.get('/sign')).headers.get('Allow'), 'POST');
  });

  test('logs and tells the trail what it refuses, with the address of the client', async () => {
    await using intake = await openAcmeIntake();
    const body = '{}';
    const answer = await intake.get('/acme/directory', { method: 'POST', body });
    assert.equal(answer.status, 415);
    const detail = 'the Content-Type of a request is application/jose+json';
    const request = answer.headers.get('X-Request-Id');
    assert.partialDeepStrictEqual(intake.trail.events, [
      { event: 'refused', client: '127.0.0.1', request, detail },
    ]);
    const [line] = intake.log.lines.filter(({ msg }) => msg === 'request');
    assert.partialDeepStrictEqual(line, { status: 415, path: '/acme/directory', reason: detail });
  });

  test('tells nothing of a bug but that there is one, and logs it', async () => {
    await using intake = await openAcmeIntake({ url, clients: { isTrustedProxy: undefined as never } });
    const answer = await intake.get('/acme/directory', { headers: { 'X-Forwarded-For': '192.0.2.1' } });
    assert.equal(answer.status, 500);
    const { type, detail } = await answer.json();
    assert.deepEqual([type, detail], ['urn:ietf:params:acme:error:serverInternal', 'internal error']);
    assert.equal(intake.log.lines.filter(({ msg }) => msg === 'request failed').length, 1);
  });

  test('refuses a client that its proxy does not name, as all routes do', async () => {
    await using intake = await openAcmeIntake({ url, clients: { isTrustedProxy: () => true } });
    const answer = await intake.get('/acme/directory', { headers: { 'X-Forwarded-For': 'nobody' } });
    assert.equal(answer.status, 403);
    const { type, detail } = await answer.json();
    assert.equal(type, 'urn:ietf:params:acme:error:unauthorized');
    assert.match(detail, /^X-Forwarded-For has "nobody", which is no address/);
  });
});
