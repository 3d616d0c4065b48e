import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { ask } from '../../support/ask.ts';
import { keyAuthorization, openResponder, path, token } from './open-http01.ts';

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

const statusAt = async ({ url }: { url: string }, at: string, agent?: Agent) =>
  (await ask(url + at, agent && { agent })).status;

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
  assert.equal(await statusAt(responder, path), 200);
  responder.known.delete(token);
  responder.clock.turn(2_000);
  assert.equal(await statusAt(responder, path), 200, 'the moment is not over');
  assert.deepEqual(responder.asked, [token]);
  responder.clock.turn(1);
  assert.equal(await statusAt(responder, path), 404);
});

test('the responder never remembers that it knows no response, or that Redis is away', async () => {
  await using responder = await openResponder();
  responder.known.delete(token);
  assert.equal(await statusAt(responder, path), 404);
  responder.known.set(token, keyAuthorization);
  assert.equal(await statusAt(responder, path), 200);
  await using away = await openResponder({ fault: new Error('connect ECONNREFUSED') });
  assert.deepEqual([await statusAt(away, path), await statusAt(away, path)], [503, 503]);
  assert.equal(away.asked.length, 2);
});

test('the responder remembers only so many responses', async () => {
  await using responder = await openResponder();
  const tokens = Array.from({ length: 1_001 }, (_, n) => `${n}`.padStart(43, 'n'));
  for (const one of tokens) responder.known.set(one, `${one}.thumbprint`);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (const one of [...tokens, ...tokens.slice(-1), ...tokens.slice(0, 1)])
    assert.equal(await statusAt(responder, path.replace(token, one), agent), 200);
  agent.destroy();
  assert.equal(responder.asked.length, 1_002);
});
