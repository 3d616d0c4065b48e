import assert from 'node:assert/strict';
import { after, afterEach, suite, test } from 'node:test';
import { ask, signed } from '../support/ask.ts';
import { assertChain } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { listenForEvents } from '../support/events.ts';
import { startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { startNginx } from '../support/nginx.ts';

const key = 'prefer-shared-key';
const fleet = await startFleet({
  mgmt: 'wait = 3600', // who is held until its end is held for longer than a test may take
  blocks: `[auth "hmac"]
ip = 127.0.0.1
ip = 127.0.0.2
hmac_type = sha256
hmac_key = ${key}
domain = *.hmac.example
[auth "open"]
ip = 127.0.0.1
domain = *.open.example
[auth "neighbour"]
ip = 127.0.0.3
hmac_type = sha256
hmac_key = key-of-the-neighbour
domain = *.neighbour.example
`,
});
after(() => fleet[Symbol.asyncDispose]());
afterEach(() => fleet.letGo());

const intake = () => fleet.all('intake')[0]?.url ?? '';
const preferring = (Prefer: string) => ({ headers: { Prefer } });

/** Posts while the order cannot end, and answers with where its result will be. */
async function postAsync(name: string, { hmac = false, prefer = 'respond-async' } = {}) {
  const csr = await makeCsr({ names: [name] });
  const pending = fleet.ca.playPending();
  const accepted = await fleet.post(csr.csrPem, { ...preferring(prefer), ...(hmac && { hmac: { key } }) });
  const location = accepted.headers.location ?? '';
  return { ...csr, accepted, location, url: intake() + location, goOn: pending.remove };
}

suite('Prefer: respond-async', () => {
  test('is answered at once by 202, Location and Retry-After, and the result is fetched there', async () => {
    const { accepted, location, url, keyPem, goOn } = await postAsync('async.open.example');
    assert.equal(accepted.status, 202, accepted.body);
    assert.match(location, /^\/sign\/[0-9a-f]{8}-[0-9a-f-]{27}$/);
    assert.ok(Number(accepted.headers['retry-after']) > 0);
    assert.doesNotMatch(accepted.body, /BEGIN CERTIFICATE/);

    const early = await ask(url, preferring('wait=0'));
    assert.equal(early.status, 202);
    assert.equal(early.headers.location, location);
    const waiting = ask(url);
    goOn();
    const { status, headers, body } = await waiting;
    assert.equal(status, 200, body);
    assert.match(headers['content-type'] ?? '', /^application\/pem-certificate-chain/);
    assertChain(body, { names: ['async.open.example'], keyPem, rootPem: await fleet.pebble.rootPem() });
    assert.equal((await ask(url)).body, body, 'it can be fetched again');
  });

  test('fetches a failure with its own status', async () => {
    await fleet.misdirect('failing.open.example');
    const { csrPem } = await makeCsr({ names: ['failing.open.example'] });
    const accepted = await fleet.post(csrPem, preferring('respond-async'));
    assert.equal(accepted.status, 202);
    const { status, body } = await ask(intake() + accepted.headers.location);
    assert.equal(status, 421);
    assert.match(body, /^failing\.open\.example: /);
  });

  test('of an identical post leads to the same result and the same order', async () => {
    const orders = fleet.orders();
    const { csrPem, location, goOn } = await postAsync('twice.open.example');
    const again = await fleet.post(csrPem, preferring('respond-async'));
    assert.equal(again.headers.location, location);
    goOn();
    assert.equal((await ask(intake() + location)).status, 200);
    assert.equal(fleet.orders(), orders + 1);
  });

  test('and the post is repeated later: it gets the finished certificate', async () => {
    const { csrPem, url, goOn } = await postAsync('later.open.example');
    goOn();
    const { body } = await ask(url);
    const orders = fleet.orders();
    const again = await fleet.post(csrPem);
    assert.deepEqual([again.status, again.body], [200, body]);
    assert.equal(fleet.orders(), orders);
  });
});

suite('Prefer: wait=N', () => {
  test('is answered by 202 when that time is over before the order is', async () => {
    const { accepted } = await postAsync('wait.open.example', { prefer: 'wait=1' });
    assert.equal(accepted.status, 202, accepted.body);
    assert.match(accepted.headers['preference-applied'] as string, /^wait(=1)?$/);
    assert.ok(accepted.headers.location && Number(accepted.headers['retry-after']) > 0);
  });

  test('is answered by 200 when the certificate comes in time', async () => {
    const { csrPem } = await makeCsr({ names: ['in-time.open.example'] });
    assert.equal((await fleet.post(csrPem, preferring('respond-async, wait=3000'))).status, 200);
  });

  test('is not needed: a plain client never gets a 202', async () => {
    const hasty = await fleet.start('intake', { mgmt: 'wait = 0' });
    const { csrPem } = await makeCsr({ names: ['plain.open.example'] });
    fleet.ca.playPending();
    const { status, headers } = await fleet.post(csrPem, { to: hasty });
    assert.deepEqual([status, headers.location], [503, undefined]);
  });
});

suite('GET /sign/<id>', () => {
  test('needs an HMAC over its path where the block of the post has one', async () => {
    const { accepted, location, url, csrPem, goOn } = await postAsync('own.hmac.example', { hmac: true });
    goOn();
    assert.equal(accepted.status, 202, accepted.body);
    const { status, body } = await ask(url, { headers: signed(location, { key }) });
    assert.equal(status, 200, body);
    const refused: [what: string, options: Parameters<typeof ask>[1]][] = [
      ['without HMAC', {}],
      ['with an HMAC of the CSR', { headers: signed(csrPem, { key }) }],
      ['with an HMAC by another key', { headers: signed(location, { key: 'key-of-the-neighbour' }) }],
      [
        "of another block's client",
        { from: '127.0.0.3', headers: signed(location, { key: 'key-of-the-neighbour' }) },
      ],
      [
        "of another block's client with the right HMAC",
        { from: '127.0.0.3', headers: signed(location, { key }) },
      ],
      ['of a stranger', { from: '127.0.0.9', headers: signed(location, { key }) }],
    ];
    for (const [what, options] of refused) {
      const answer = await ask(url, options);
      assert.equal(answer.status, 403, what);
      assert.doesNotMatch(answer.body, /BEGIN/);
    }
    const colleague = await ask(url, { from: '127.0.0.2', headers: signed(location, { key }) });
    assert.equal(colleague.status, 200, 'another client of the same block');
  });

  test('answers 403 to a client of another block while the order is under way, too', async () => {
    const { location, url } = await postAsync('under-way.hmac.example', { hmac: true });
    const neighbour = { from: '127.0.0.3', headers: signed(location, { key: 'key-of-the-neighbour' }) };
    assert.equal((await ask(url, neighbour)).status, 403);
    assert.equal(
      (await ask(url, { headers: { ...signed(location, { key }), Prefer: 'wait=0' } })).status,
      202,
    );
  });

  test('answers 404 for an id that is not known, and for what is no id', async () => {
    for (const id of ['5f0c5a52-5a3b-4b44-a41f-0f1c1a4a2c11', '1', '..%2f..', 'x'.repeat(300)]) {
      assert.equal((await ask(`${intake()}/sign/${id}`)).status, 404, id);
    }
  });

  test('does not end a client that goes away, but its waiting: the job goes on', async () => {
    const leaving = new AbortController();
    const { csrPem } = await makeCsr({ names: ['leaving.open.example'] });
    const orders = fleet.orders();
    const pending = fleet.ca.playPending();
    const post = fleet.post(csrPem, { signal: leaving.signal });
    const { location = '' } = (await fleet.post(csrPem, preferring('respond-async'))).headers;
    leaving.abort();
    await assert.rejects(post);
    pending.remove();
    assert.equal((await ask(intake() + location)).status, 200);
    assert.equal(fleet.orders(), orders + 1);
  });
});

suite('GET /sign/<id> for events', () => {
  test('says of an order where it is from the queue to its certificate, at another intake once the first one stops, over a worker that is killed', async () => {
    const [idle] = fleet.all('worker');
    await idle?.stop();
    const [another, port] = [await fleet.start('intake'), await freePort()];
    await using _nginx = await startNginx(
      `server { listen 127.0.0.1:${port}; location / { proxy_pass ${intake()}; } }`,
      port,
    );
    const name = 'events.open.example';
    const [before, { csrPem, keyPem }] = [
      await makeCsr({ names: ['x.open.example'] }),
      await makeCsr({ names: [name] }),
    ];
    await fleet.post(before.csrPem, preferring('respond-async'));
    const accepted = await fleet.post(csrPem, preferring('respond-async'));
    const { location = '' } = accepted.headers;
    assert.equal(accepted.body, `queued behind 1: fetch ${location}\n`);
    const made = fleet.ca.rule({ kind: 'newOrder', do: { hold: 'before' } });
    const events = await listenForEvents(another.url + location);
    await events.until('queued behind 1');
    const worker = await fleet.start('worker');
    await events.until('the order is being made');
    const asked = fleet.ca.rule({ kind: 'authorization', do: { hold: 'before' } });
    const validating = fleet.ca.playPending();
    const finalized = fleet.ca.rule({ kind: 'finalize', do: { hold: 'before' } });
    made.remove();
    await events.until('the order is made');
    const late = await listenForEvents(`http://127.0.0.1:${port}${location}`);
    await late.until('the order is made'); // which nginx does not hold back
    asked.remove();
    await events.until(`proving ${name}`);
    const short = await ask(intake() + location, preferring('wait=0'));
    assert.equal(short.body, `proving ${name}: fetch ${location}\n`);
    assert.equal(await another.stop(), 0);
    assert.deepEqual(await events.end, {
      event: 'no-certificate',
      data: '503 the server restarts: post the same CSR again\nRetry-After: 5',
    });
    await worker.kill();
    await late.until('waiting for another worker to go on');
    await fleet.start('worker');
    await late.until(`proving ${name}`);
    validating.remove();
    await late.until('finalizing');
    finalized.remove();
    const { event, data } = await late.end;
    assert.equal(event, 'certificate');
    assertChain(data, { names: [name], keyPem, rootPem: await fleet.pebble.rootPem() });
    assert.deepEqual(late.progress().slice(-2), ['finalizing', 'issued']);
  });
});
