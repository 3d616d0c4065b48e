import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { suite, test } from 'node:test';
import { lookByHttp } from '../../../../shared/acme-server/validate/http-01.ts';
import type { Sight } from '../../../../shared/acme-server/validate/look.ts';
import { listen } from '../../../support/listen.ts';
import { reply, startScriptedDns } from '../../../support/scripted-dns.ts';
import { aProof, aSight, keyAuthorization, never } from './a-proof.ts';

const path = '/.well-known/acme-challenge/tokentokentokentoken';

async function lookAt(handler: RequestListener, more: Partial<Sight> = {}) {
  await using server = await listen(handler);
  return await lookByHttp(aProof(), aSight({ httpPort: server.port, ...more }), never);
}

suite('a look at an http-01 response of a client', () => {
  test('sees the key authorization, with white space at its end', async () => {
    const asked: unknown[] = [];
    const handler: RequestListener = (request, answer) => {
      asked.push(request.url, request.headers.host);
      answer.end(`${keyAuthorization}\r\n`);
    };
    assert.equal(await lookAt(handler), undefined);
    assert.deepEqual(asked, [path, '127.0.0.1']);
  });

  test('follows a redirect, as a CA does', async () => {
    const handler: RequestListener = ({ url }, answer) =>
      url === path ? answer.writeHead(302, { Location: '/there' }).end() : answer.end(keyAuthorization);
    assert.equal(await lookAt(handler), undefined);
  });

  test('tells what is there instead', async () => {
    assert.deepEqual(await lookAt((_, answer) => answer.end(`${keyAuthorization}x`)), {
      kind: 'incorrectResponse',
      detail: `http://127.0.0.1${path} (127.0.0.1): another answer than the key authorization`,
    });
    const missing = await lookAt((_, answer) => answer.writeHead(404).end(keyAuthorization));
    assert.deepEqual(
      [missing?.kind, missing?.detail.endsWith('(127.0.0.1): status 404')],
      ['incorrectResponse', true],
    );
    const closed = await lookByHttp(aProof(), aSight(), never);
    assert.equal(closed?.kind, 'connection');
    assert.match(`${closed?.detail}`, /ECONNREFUSED/);
  });

  test('goes to no address that is not public, and tells the client of none', async () => {
    const refused = await lookByHttp(aProof(), aSight({ networks: [] }), never);
    assert.deepEqual(
      [refused?.kind, refused?.detail],
      ['connection', `http://127.0.0.1${path}: it leads to no public address`],
    );
    assert.match(`${refused?.hidden}`, /127\.0\.0\.1, which is not public/);
    const redirected = await lookAt((_, answer) =>
      answer.writeHead(301, { Location: 'http://10.1.2.3/' }).end(),
    );
    assert.equal(redirected?.kind, 'connection');
    assert.doesNotMatch(`${redirected?.detail}`, /10\.1/);
    assert.match(`${redirected?.hidden}`, /10\.1\.2\.3/);
  });

  test('tells the same of whatever it sees where only the block allows it to look', async () => {
    const client = '127.0.0.9';
    const seen = [
      await lookAt((_, answer) => answer.end('another'), { client }),
      await lookAt((_, answer) => answer.writeHead(500).end(), { client }),
      await lookAt(({ socket }) => socket.destroy(), { client }),
      await lookAt((_, answer) => answer.end(), { client, httpPort: 1 }),
    ];
    const same = { kind: 'incorrectResponse', detail: `http://127.0.0.1${path}: the response is not there` };
    for (const one of seen) assert.deepEqual({ kind: one?.kind, detail: one?.detail }, same);
    const hidden = seen.map(one => one?.hidden);
    assert.equal(new Set(hidden).size, hidden.length, 'the log has each');
  });

  test('looks names up at the resolver that is configured', async () => {
    await using dns = await startScriptedDns(asked => {
      const [{ name = '', type } = {}] = asked.questions ?? [];
      return [reply(asked, type === 'A' ? [{ name, type: 'A', data: '127.0.0.1', ttl: 1 }] : [])];
    });
    await using server = await listen((_, answer) => answer.end(keyAuthorization));
    const sight = aSight({ resolvers: [dns.server], httpPort: server.port });
    assert.equal(await lookByHttp(aProof('www.example.org'), sight, never), undefined);
    await using silent = await startScriptedDns(asked => [reply(asked, [], { rcode: 3 })]);
    const lost = await lookByHttp(aProof('www.example.org'), aSight({ resolvers: [silent.server] }), never);
    assert.equal(lost?.kind, 'dns');
    assert.match(`${lost?.detail}`, /^http:\/\/www\.example\.org\/.*: no address found \(ENOTFOUND\)$/);
  });

  test('ends with its signal', async () => {
    const stop = new AbortController();
    await using server = await listen(() => stop.abort(new Error('the worker stops')));
    await assert.rejects(lookByHttp(aProof(), aSight({ httpPort: server.port }), stop.signal), {
      message: 'the worker stops',
    });
  });
});
