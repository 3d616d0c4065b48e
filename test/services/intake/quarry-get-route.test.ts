import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ask } from '../../support/ask.ts';
import { openIntake } from './open-intake.ts';

const script = readFileSync(join(import.meta.dirname, '../../../services/get/quarry-get'), 'utf8');
const withServer = (url: string) => script.replace("\nSERVER='' ", `\nSERVER='${url}' `);

test('GET /quarry-get hands out the script to everybody, with the URL that it was asked for at', async () => {
  await using intake = await openIntake([]);
  const answer = await fetch(`${intake.url}/quarry-get`);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('Content-Type'), 'text/x-shellscript; charset=utf-8');
  const body = await answer.text();
  assert.equal(body, withServer(intake.url));
  assert.notEqual(body, script);
  execFileSync('sh', ['-n'], { input: body });
  const head = await fetch(`${intake.url}/quarry-get`, { method: 'HEAD' });
  assert.deepEqual([head.status, await head.text()], [200, '']);
  assert.equal(head.headers.get('Content-Length'), String(Buffer.byteLength(body)));
});

test('GET /quarry-get names the origin of [acme] url where there is one', async () => {
  await using intake = await openIntake([], { acme: { url: 'https://quarry.example.org:8443/acme' } });
  const { body } = await ask(`${intake.url}/quarry-get`, { headers: { Host: 'other.example' } });
  assert.equal(body, withServer('https://quarry.example.org:8443'));
});

test('GET /quarry-get believes that its client came by TLS where a trusted proxy says so', async () => {
  const headers = { Host: 'quarry.example.org', 'X-Forwarded-Proto': 'https' };
  for (const [trusted, url] of [
    [['127.0.0.1'], 'https://quarry.example.org'],
    [[], 'http://quarry.example.org'],
  ] as const) {
    await using intake = await openIntake([], { trusted: [...trusted] });
    assert.equal((await ask(`${intake.url}/quarry-get`, { headers })).body, withServer(url));
  }
});

test('GET /quarry-get writes no Host header into the script that a shell would read otherwise', async () => {
  await using intake = await openIntake([]);
  for (const Host of [
    "a'b",
    'a$(id)',
    'a b',
    'a/b',
    'a;b',
    'a:1:2',
    '-a',
    'ä.example',
    `${'a'.repeat(300)}`,
  ]) {
    const { status, body } = await ask(`${intake.url}/quarry-get`, { headers: { Host } });
    assert.equal(status, 400, Host);
    assert.match(body, /^(the Host header is no host name or address: .*\n|)$/);
  }
  for (const Host of ['[2001:db8::1]:1313', '192.0.2.1', 'a_b.Example', 'quarry:1313']) {
    const { body } = await ask(`${intake.url}/quarry-get`, { headers: { Host } });
    assert.equal(body, withServer(`http://${Host}`), Host);
  }
});

test('the path of the script takes nothing but GET', async () => {
  await using intake = await openIntake([]);
  const answer = await fetch(`${intake.url}/quarry-get`, { method: 'POST', body: 'x' });
  assert.deepEqual([answer.status, answer.headers.get('Allow')], [405, 'GET']);
});
