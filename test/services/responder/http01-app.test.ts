import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { createHttp01App } from '../../../services/responder/responder.ts';
import { openMetrics } from '../../../shared/base/metrics.ts';
import { ask } from '../../support/ask.ts';
import { heldClock } from '../../support/held-clock.ts';
import { keptLog } from '../../support/kept-log.ts';
import { listen } from '../../support/listen.ts';

const token = 'LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0';
const keyAuthorization = `${token}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI`;
const path = `/.well-known/acme-challenge/${token}`;

/** The responder's app, knowing one token at first; `asked` are those that it looked up. */
async function openResponder({ fault }: { fault?: Error } = {}) {
  const asked: string[] = [];
  const known = new Map([[token, keyAuthorization]]);
  const [log, metrics, clock] = [keptLog(), openMetrics(), heldClock(1_000_000)];
  const get = async (one: string) => {
    asked.push(one);
    if (fault) throw fault;
    return known.get(one) ?? null;
  };
  const app = createHttp01App({ get }, { clock, log: log.log, metrics });
  const server = await listen(app);
  const status = async (at: string) => (await ask(server.url + at)).status;
  return { ...server, app, asked, known, clock, log, metrics, status };
}

for (const at of [path, `${path}?`, `${path}?cache=no`])
  test(`the responder answers GET ${at.slice(path.length) || 'of a token'} with the key authorization`, async () => {
    await using responder = await openResponder();
    const answer = await fetch(responder.url + at);
    assert.deepEqual([answer.status, await answer.text()], [200, keyAuthorization]);
    assert.equal(answer.headers.get('Content-Type'), 'application/octet-stream');
  });

test('the responder answers HEAD with the same headers and no body', async () => {
  await using responder = await openResponder();
  const answer = await fetch(responder.url + path, { method: 'HEAD' });
  assert.deepEqual([answer.status, await answer.text()], [200, '']);
  assert.equal(answer.headers.get('Content-Length'), String(keyAuthorization.length));
});

test('the responder answers 404 for a token that it does not know, so that nginx asks the next one', async () => {
  await using responder = await openResponder();
  const answer = await fetch(`${responder.url}${path.replace('Loq', 'XXX')}`);
  assert.equal(answer.status, 404);
  await answer.text();
});

for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
  test(`the responder does not look a token up for ${method}`, async () => {
    await using responder = await openResponder();
    assert.equal((await fetch(responder.url + path, { method })).status, 404);
    assert.deepEqual(responder.asked, []);
  });

/** Sends a request target as it is, which fetch would put in order. */
async function getRaw(port: number, target: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.end(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  return (await text(socket)).split('\r\n')[0] ?? '';
}

for (const target of [
  '/',
  '/.well-known/acme-challenge/',
  '/.well-known/acme-challenge/short',
  `/.well-known/acme-challenge/${'a'.repeat(513)}`,
  `/.well-known/acme-challenge/../acme-challenge/${token}`,
  `/.well-known/acme-challenge/${token}/`,
  `/.well-known/acme-challenge/${token}%0a`,
  `/.well-known/acme-challenge/${token.slice(0, 20)}:${token.slice(20)}`,
  `/.well-known/acme-challenge/${token.slice(0, 20)}*`,
  `//.well-known/acme-challenge/${token}`,
  `/x${path}`,
])
  test(`the responder does not look ${target.slice(0, 60)} up`, async () => {
    await using responder = await openResponder();
    assert.equal(await getRaw(responder.port, target), 'HTTP/1.1 404 Not Found');
    assert.deepEqual(responder.asked, []);
  });

test('the responder answers 503 while Redis is away, and says why in its log', async () => {
  await using responder = await openResponder({ fault: new Error('connect ECONNREFUSED') });
  const answer = await fetch(responder.url + path);
  assert.equal(answer.status, 503);
  assert.equal((await answer.text()).includes('ECONNREFUSED'), false);
  assert.match(responder.log.text(), /"reason":"connect ECONNREFUSED"/);
});

test('the responder counts its answers and logs no key authorization', async () => {
  await using responder = await openResponder();
  for (const at of [path, path, '/none']) await (await fetch(responder.url + at)).text();
  const figures = await responder.metrics.metrics();
  assert.match(figures, /quarry_responder_answers_total\{status="200"\} 2/);
  assert.match(figures, /quarry_responder_answers_total\{status="404"\} 1/);
  assert.equal(responder.log.text().includes(keyAuthorization), false);
});

test('the responder looks a token up once for all who ask within a moment, and then sees it withdrawn', async () => {
  await using responder = await openResponder();
  assert.equal(await responder.status(path), 200);
  responder.known.delete(token);
  responder.clock.turn(2_000);
  assert.equal(await responder.status(path), 200, 'the moment is not over');
  assert.deepEqual(responder.asked, [token]);
  responder.clock.turn(1);
  assert.equal(await responder.status(path), 404);
});

test('the responder never remembers that it knows no response, or that Redis is away', async () => {
  await using responder = await openResponder();
  responder.known.delete(token);
  assert.equal(await responder.status(path), 404);
  responder.known.set(token, keyAuthorization);
  assert.equal(await responder.status(path), 200);
  await using away = await openResponder({ fault: new Error('connect ECONNREFUSED') });
  assert.deepEqual([await away.status(path), await away.status(path)], [503, 503]);
  assert.equal(away.asked.length, 2);
});

test('the responder remembers only so many responses', async () => {
  await using responder = await openResponder();
  const tokens = Array.from({ length: 1_001 }, (_, n) => `${n}`.padStart(43, 'n'));
  for (const one of tokens) responder.known.set(one, `${one}.thumbprint`);
  for (const one of [...tokens, ...tokens.slice(-1), ...tokens.slice(0, 1)])
    await new Promise<void>(end => {
      const url = path.replace(token, one);
      responder.app({ method: 'GET', url } as never, { writeHead() {}, end } as never);
    });
  assert.equal(responder.asked.length, 1_002);
});
