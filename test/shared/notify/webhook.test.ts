import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { describeError } from '../../../shared/base/errors.ts';
import { deliver } from '../../../shared/notify/deliver.ts';
import type { NotifyConfig } from '../../../shared/notify/notify-section.ts';
import { RefusedError } from '../../../shared/notify/webhook.ts';
import { startConnectProxy } from '../../support/connect-proxy.ts';
import { freePort } from '../../support/free-port.ts';
import { startHookReceiver } from '../../support/hook-receiver.ts';
import { keptLog } from '../../support/kept-log.ts';
import { shownBlock } from '../../support/pages.ts';
import { provision } from '../../support/provision.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { aMessage, at } from './a-message.ts';

const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const receiver = stack.use(await startHookReceiver());
const dir = stack.use(await tempDir());

type Webhook = Extract<NotifyConfig, { type: 'webhook' }>;

/** Posts to the receiver, under a path that holds a token. */
async function post(more: Partial<Webhook> = {}, signal = new AbortController().signal) {
  const block: Webhook = {
    name: 'ops',
    kinds: [],
    type: 'webhook',
    url: `${receiver.url}/hook/t0ken`,
    ...more,
  };
  receiver.posts.length = 0;
  await deliver(block, aMessage, { clock: turnedClock(at + 3_600_000), log: keptLog().log, signal });
}

const failure = (posting: Promise<void>) =>
  posting.then(
    () => assert.fail('it was delivered'),
    (error: unknown) => {
      assert.doesNotMatch(describeError(error), /t0ken/);
      return error as Error;
    },
  );

test('a webhook is posted the message as JSON', async () => {
  await post();
  const [{ path, headers, body } = assert.fail('nothing was posted')] = receiver.posts;
  assert.equal(path, '/hook/t0ken');
  assert.equal(headers['content-type'], 'application/json');
  assert.match(headers['user-agent'] ?? '', /^quarry\/\d/);
  assert.equal(headers['x-quarry-signature'], undefined);
  assert.equal(JSON.parse(body).title, 'renewal failed: www.example.org and 1 more');
});

for (const how of ['text', 'file'] as const) {
  test(`a signature by a key in a ${how} is what the page has openssl compute of the time and the body`, async () => {
    const { openssl } = await provision(['openssl']);
    const [key, keyFile] = ['A1YP67armNf3cBrecyJHdb035', join(dir.path, 'key')];
    await writeFile(keyFile, `${key}\n`);
    await post({ hmacKey: how === 'text' ? { text: key } : { file: keyFile } });
    const [{ headers, body } = assert.fail('nothing was posted')] = receiver.posts;
    const timestamp = headers['x-quarry-timestamp'];
    assert.equal(timestamp, `${(at + 3_600_000) / 1000}`);
    await writeFile(join(dir.path, 'body.json'), body);
    const script = shownBlock('shared/notify/notify.md', 'sh', '$TIMESTAMP');
    const PATH = `${dirname(openssl)}:${process.env.PATH}`;
    const env = { PATH, KEY: key, TIMESTAMP: `${timestamp}` };
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', script], { cwd: dir.path, env });
    assert.equal(headers['x-quarry-signature'], `sha256=${stdout.replace(/.*= */, '').trim()}`);
  });
}

test('an answer other than 2xx is a failure that says so, without the URL', async () => {
  const { host } = new URL(receiver.url);
  for (const status of [500, 404, 302]) {
    receiver.answers.push(status);
    const error = await failure(post());
    assert.equal(error.message, `${host} answered ${status}`);
    assert.ok(!(error instanceof RefusedError));
    assert.equal(receiver.posts.length, 1, 'no redirect is followed');
  }
});

test('410 says that it is not to be tried again', async () => {
  receiver.answers.push(410);
  assert.ok((await failure(post())) instanceof RefusedError);
});

test('a receiver that cannot be reached is a failure that says why, without the URL', async () => {
  const port = await freePort();
  const error = await failure(post({ url: `http://127.0.0.1:${port}/t0ken` }));
  assert.match(
    describeError(error),
    new RegExp(`^127\\.0\\.0\\.1:${port} cannot be reached: connect ECONNREFUSED`),
  );
});

test('a post ends when its signal fires, with the reason of that', async () => {
  const stop = new AbortController();
  receiver.answers.push(0);
  const posting = failure(post({}, stop.signal));
  await waitUntil('the post', () => receiver.posts.length === 1);
  stop.abort(new Error('stopping'));
  assert.equal((await posting).message, 'stopping');
});

test('an authority of its own vouches for an https receiver, and without it nothing is told', async () => {
  const { caFile, certFile, keyFile } = await tlsAuthority();
  const bodies: string[] = [];
  const server = createServer(
    { cert: await readFile(certFile), key: await readFile(keyFile) },
    (request, response) => {
      request.setEncoding('utf8').on('data', part => bodies.push(part));
      request.on('end', () => response.writeHead(200).end());
    },
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `https://localhost:${(server.address() as AddressInfo).port}/t0ken`;
  assert.match(describeError(await failure(post({ url }))), /cannot be reached: .*certificate/);
  await post({ url, caFile });
  assert.equal(bodies.length, 1);
  server.close();
});

test('a webhook is posted to through a proxy, whose password is in no error', async () => {
  await using proxy = await startConnectProxy();
  const { certFile, keyFile, caFile } = await tlsAuthority();
  const tls = { cert: await readFile(certFile), key: await readFile(keyFile) };
  const paths: (string | undefined)[] = [];
  const server = createServer(tls, (request, response) => {
    paths.push(request.url);
    response.end();
  }).listen(0, '127.0.0.1');
  stack.defer(() => void server.close().closeAllConnections());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const url = `https://proxied.example:${port}/hook/t0ken`;
  const way = { url, caFile, proxy: { HTTPS_PROXY: proxy.url.replace('//', '//u:s3cret@') } };
  await post(way);
  assert.deepEqual(paths, ['/hook/t0ken']);
  assert.deepEqual(proxy.asked, [{ authority: `proxied.example:${port}`, credentials: 'u:s3cret' }]);
  proxy.manner = 'refuse';
  assert.doesNotMatch(describeError(await failure(post(way))), /s3cret/);
  proxy.manner = 'hang';
  const stop = new AbortController();
  const posting = failure(post(way, stop.signal));
  await waitUntil('the CONNECT', async () => proxy.asked.length === 3);
  stop.abort(new Error('stopping'));
  assert.equal((await posting).message, 'stopping');
});
