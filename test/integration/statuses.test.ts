import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { type AskOptions, ask, signed } from '../support/ask.ts';
import { makeCsr } from '../support/csr.ts';
import type { AnswerSpec } from '../support/fault-proxy.ts';
import { startFleet } from '../support/fleet.ts';
import { provision } from '../support/provision.ts';
import { waitUntil } from '../support/wait-until.ts';

const key = 'statuses-shared-key';
const hmac = { key };

const fleet = await startFleet({
  roles: ['intake', 'worker', 'responder'],
  mgmt: 'max-size = 4KiB\ntrusted-proxy = 127.0.0.8/32',
  blocks: `[auth "hmac"]
ip = 127.0.0.1
hmac_type = sha256
hmac_key = ${key}
domain = *.hmac.example
domain = blocked-domain.example
[auth "open"]
ip = 127.0.0.2
ip = 192.0.2.7
domain = *.open.example
domain = *.limited.example
address = 127.0.0.0/8
`,
});
after(() => fleet[Symbol.asyncDispose]());
afterEach(() => fleet.letGo());

const open = { from: '127.0.0.2' };

/** Posts while the CA answers newOrder with this. */
async function postAtNewOrder(answer: AnswerSpec, csr: string) {
  const rule = fleet.ca.rule({ kind: 'newOrder', do: { answer } });
  try {
    return await fleet.post(csr, open);
  } finally {
    rule.remove();
  }
}

/**
 * Posts a CSR for names that all fail. The order is invalid once the first has failed, so the worker's next
 * look at it has to wait until Pebble is through with all of them.
 */
async function postFailing(names: string[], options: AskOptions) {
  const failed = () => fleet.pebble.output().split('set INVALID by completed challenge').length;
  const before = failed();
  await Promise.all(names.map(name => fleet.misdirect(name)));
  const { csrPem } = await makeCsr({ names });
  const polls = fleet.ca.rule({ kind: 'order', do: { hold: 'before' } });
  const post = fleet.post(csrPem, options);
  await waitUntil('all challenges to fail', () => failed() === before + names.length);
  polls.remove();
  return await post;
}

suite('the checks of POST /sign come in the order of the contract', () => {
  const [{ url = '' } = {}] = fleet.all('intake');
  const foreign = makeCsr({ names: ['www.foreign.example'] });
  const tooLarge = 'x'.repeat(5000);
  const wrong = signed('something else', hmac);

  // Each request has all the faults of those behind it.
  const checks: [what: string, status: number, detail: RegExp, path: string, options: AskOptions][] = [
    [
      'the path',
      404,
      /no such path/,
      '/sing',
      { method: 'PUT', body: tooLarge, chunked: true, from: '127.0.0.9' },
    ],
    [
      'the method',
      405,
      /only POST/,
      '/sign',
      { method: 'PUT', body: tooLarge, chunked: true, from: '127.0.0.9' },
    ],
    [
      "the client's address",
      403,
      /no auth block admits 127\.0\.0\.9/,
      '/sign',
      { method: 'POST', body: tooLarge, chunked: true, from: '127.0.0.9' },
    ],
    [
      'that there is an HMAC',
      403,
      /without an HMAC in an Authentication header/,
      '/sign',
      { method: 'POST', body: tooLarge, chunked: true },
    ],
    [
      'Content-Length',
      411,
      /Content-Length/,
      '/sign',
      { method: 'POST', body: tooLarge, chunked: true, headers: wrong },
    ],
    ['the length', 413, /over 4096 bytes/, '/sign', { method: 'POST', body: tooLarge, headers: wrong }],
    ['the HMAC', 403, /HMAC does not match/, '/sign', { method: 'POST', body: 'no CSR', headers: wrong }],
    ['the CSR', 415, /no PEM/, '/sign', { method: 'POST', body: 'no CSR', headers: signed('no CSR', hmac) }],
  ];
  for (const [what, status, detail, path, options] of checks) {
    test(`${status}: ${what}`, async () => {
      const answer = await ask(url + path, options);
      assert.equal(answer.status, status, answer.body);
      assert.match(answer.body, detail);
      assert.match(answer.body, /^[^\n]+\n$/, 'one line');
      assert.match(answer.headers['x-request-id'] as string, /^[0-9a-f-]{36}$/);
      assert.equal(answer.headers.allow, status === 405 ? 'POST' : undefined);
    });
  }

  test('403: the names', async () => {
    const { csrPem } = await foreign;
    const { status, body } = await fleet.post(csrPem, { hmac });
    assert.deepEqual(
      [status, body],
      [403, 'not admitted: www.foreign.example; add it as a domain line to an [auth] block on the server\n'],
    );
  });

  test('200: nothing is left to check', async () => {
    const { csrPem } = await makeCsr({ names: ['www.hmac.example'] });
    const { status, body } = await fleet.post(csrPem, { hmac });
    assert.equal(status, 200, body);
  });
});

suite('POST /sign', () => {
  test('405 for every other method of /sign, and of a result', async () => {
    const [{ url = '' } = {}] = fleet.all('intake');
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, headers } = await ask(`${url}/sign`, { method });
      assert.deepEqual([status, headers.allow], [405, 'POST'], method);
    }
    const { status, headers } = await ask(`${url}/sign/5f0c5a52-5a3b-4b44-a41f-0f1c1a4a2c11`, {
      method: 'POST',
    });
    assert.deepEqual([status, headers.allow], [405, 'GET']);
  });

  test('415 names what is wrong with a CSR', async () => {
    const { openssl } = await provision(['openssl']);
    const make = async (subject: string, extension: string, ...newKey: string[]) => {
      const args = ['req', '-new', '-nodes', '-keyout', '/dev/null', '-subj', subject, '-addext', extension];
      return (await promisify(execFile)(openssl, [...args, ...newKey])).stdout;
    };
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    const san = 'subjectAltName=DNS:www.open.example';
    const wanted: [string, RegExp][] = [
      [await make('/CN=www.open.example', san, '-newkey', 'rsa:1024'), /1024 bits/],
      [await make('/', `${san},email:root@open.example`, ...ec), /e-mail/],
      [await make('/', 'basicConstraints=CA:true', ...ec, '-addext', san), /CA:TRUE/],
      [await make('/', 'subjectAltName=DNS:bad_name.open.example', ...ec), /bad_name/],
      [await make('/CN=www.open.example', san, ...ec, '-sha1'), /SHA-?1/i],
    ];
    for (const [csr, detail] of wanted) {
      const { status, body } = await fleet.post(csr, open);
      assert.equal(status, 415, body);
      assert.match(body, detail);
      assert.match(body, /^[^\n]+\n$/);
    }
  });

  test('an address is admitted by an address line only', async () => {
    const ips = ['127.0.0.1'];
    const [admitted, foreign] = [
      await makeCsr({ names: [], ips, commonName: false }),
      await makeCsr({ names: ['ip.hmac.example'], ips }),
    ];
    assert.equal((await fleet.post(admitted.csrPem, open)).status, 200);
    const { status, body } = await fleet.post(foreign.csrPem, { hmac });
    assert.deepEqual(
      [status, body],
      [403, 'not admitted: 127.0.0.1; add it as an address line to an [auth] block on the server\n'],
    );
  });

  test('X-Forwarded-For counts from a trusted proxy, and from the right', async () => {
    const post = (from: string, forwardedFor: string) =>
      fleet.post('no CSR', { from, headers: { 'X-Forwarded-For': forwardedFor } });
    const proxy = '127.0.0.8';
    const wanted: [from: string, forwardedFor: string, status: number][] = [
      [proxy, '192.0.2.7', 415],
      [proxy, '198.51.100.1, 192.0.2.7', 415],
      [proxy, '192.0.2.7, 198.51.100.1', 403],
      [proxy, '192.0.2.7:51234', 415],
      [proxy, '[::ffff:192.0.2.7]:51234', 415],
      [proxy, 'garbage', 403],
      ['127.0.0.9', '192.0.2.7', 403],
      ['127.0.0.2', '198.51.100.1', 415],
    ];
    for (const [from, forwardedFor, expected] of wanted) {
      const { status, body } = await post(from, forwardedFor);
      assert.equal(status, expected, `${forwardedFor} from ${from}: ${body}`);
    }
  });

  test('403 with the reason of the CA for a domain that the CA blocks', async () => {
    const { csrPem } = await makeCsr({ names: ['blocked-domain.example'] });
    const { status, body } = await fleet.post(csrPem, { hmac });
    assert.equal(status, 403);
    assert.match(body, /blocked-domain\.example/);
  });

  test('403 for a wildcard, which http-01 cannot prove, without an order', async () => {
    const orders = fleet.orders();
    const { csrPem } = await makeCsr({ names: ['*.open.example'] });
    const { status, body } = await fleet.post(csrPem, open);
    assert.equal(status, 403);
    assert.match(body, /it takes dns-01.*only http-01/);
    assert.equal(fleet.orders(), orders);
  });

  test('421 with the detail of the CA for the name whose challenge failed, and only for that one', async () => {
    await fleet.misdirect('lost.open.example');
    const { csrPem } = await makeCsr({ names: ['found.open.example', 'lost.open.example'] });
    const { status, body } = await fleet.post(csrPem, open);
    assert.equal(status, 421, body);
    assert.match(body, /^lost\.open\.example: [^\n]*connection refused[^\n]*\n$/);
    assert.doesNotMatch(body, /found\.open\.example/);
  });

  test('421 with a detail for each of several names whose challenges failed', async () => {
    const names = ['lost1.open.example', 'lost2.open.example', 'lost3.open.example'];
    const { status, body } = await postFailing(names, open);
    assert.equal(status, 421, body);
    for (const name of names) assert.match(body, new RegExp(`(^|; )${name}: [^;]*connection refused`));
  });

  test('429 with Retry-After and the detail of the CA when the CA limits', async () => {
    const { csrPem } = await makeCsr({ names: ['www.limited.example'] });
    const detail = 'too many certificates (50) already issued for "limited.example" in the last 168h0m0s';
    const limit = {
      status: 429,
      headers: { 'Retry-After': '1234' },
      problem: { type: 'rateLimited', detail },
    };
    const { status, headers, body } = await postAtNewOrder(limit, csrPem);
    assert.equal(status, 429, body);
    assert.ok(body.includes(detail), body);
    const retryAfter = Number(headers['retry-after']);
    assert.ok(retryAfter > 1100 && retryAfter <= 1234, `Retry-After: ${retryAfter}`);
  });

  test('500 without inner details when the CA answers nonsense', async () => {
    const { csrPem } = await makeCsr({ names: ['nonsense.open.example'] });
    const { status, body } = await postAtNewOrder({ status: 201, body: {} }, csrPem);
    assert.equal(status, 500, body);
    assert.match(body, /^[^\n]{1,200}\n$/);
  });

  test('503 with Retry-After when the CA is away for longer than the wait, and a certificate once it is back', async () => {
    const hasty = await fleet.start('intake', { mgmt: 'wait = 1' });
    const { csrPem } = await makeCsr({ names: ['patient.open.example'] });
    await fleet.ca.goDown();
    const patient = fleet.post(csrPem, open);
    const away = await fleet.post(csrPem, { ...open, to: hasty });
    await fleet.ca.comeBack();
    assert.equal(away.status, 503, away.body);
    assert.match(away.body, /post the same CSR again/);
    assert.ok(Number(away.headers['retry-after']) > 0);
    for (const { status, body } of [await patient, await fleet.post(csrPem, { ...open, to: hasty })])
      assert.equal(status, 200, body);
  });

  test('503 when the wait ends, and the next identical post gets what became of it, without another order', async () => {
    const hasty = await fleet.start('intake', { mgmt: 'wait = 1' });
    const { csrPem } = await makeCsr({ names: ['slow.open.example'] });
    const orders = fleet.orders();
    const pending = fleet.ca.playPending();
    const first = await fleet.post(csrPem, { ...open, to: hasty });
    assert.deepEqual([first.status, first.headers['content-type']], [503, 'text/plain; charset=utf-8']);
    assert.ok(Number(first.headers['retry-after']) > 0);
    pending.remove();
    const issued = () =>
      fleet
        .all('worker')[0]
        ?.log()
        .some(({ msg, names }) => msg === 'certificate issued' && `${names}` === 'slow.open.example');
    await waitUntil('the certificate to be issued', () => issued() ?? false);
    const second = await fleet.post(csrPem, { ...open, to: hasty });
    assert.equal(second.status, 200, second.body);
    assert.equal(fleet.orders(), orders + 1);
  });
});

suite('errors as JSON', () => {
  test('a client that accepts a problem document gets one', async () => {
    for (const accept of [
      'application/problem+json',
      'application/json',
      'application/json, text/plain;q=0.5',
    ]) {
      const { status, headers, body } = await fleet.post('no CSR', { ...open, headers: { Accept: accept } });
      assert.equal(status, 415);
      assert.equal(headers['content-type'], 'application/problem+json');
      const { type, status: told, detail, instance } = JSON.parse(body);
      assert.deepEqual([type, told], ['about:blank', 415]);
      assert.match(detail, /no PEM/);
      assert.equal(instance, `urn:uuid:${headers['x-request-id']}`);
    }
  });

  test('others get text', async () => {
    for (const accept of [
      '*/*',
      'text/plain',
      'application/pem-certificate-chain',
      'text/plain, application/json',
    ]) {
      const { headers } = await fleet.post('no CSR', { ...open, headers: { Accept: accept } });
      assert.match(headers['content-type'] ?? '', /^text\/plain/, accept);
    }
  });

  test('a failed validation comes with the subproblems of the CA, by name', async () => {
    const names = ['gone1.open.example', 'gone2.open.example'];
    const { status, body } = await postFailing(names, {
      ...open,
      headers: { Accept: 'application/problem+json' },
    });
    assert.equal(status, 421);
    const { subproblems } = JSON.parse(body) as {
      subproblems: { type: string; identifier: { type: string; value: string } }[];
    };
    assert.deepEqual(
      subproblems.map(({ type, identifier }) => `${type} ${identifier.type} ${identifier.value}`).sort(),
      names.map(name => `urn:ietf:params:acme:error:connection dns ${name}`),
    );
  });
});
