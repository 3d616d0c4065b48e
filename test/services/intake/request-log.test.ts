import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createApp } from '../../../services/intake/app.ts';
import { openMetrics } from '../../../shared/base/metrics.ts';
import { makeCsr } from '../../shared/pki/openssl-csr.ts';
import { keptLog } from '../../support/kept-log.ts';
import { listen } from '../../support/listen.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { hmacHeader, hmacKey, issued, jobId, openIntake } from './open-intake.ts';

const csr = makeCsr({ names: 'DNS:www.example.org' });

test('every request is logged once, with its id, client, job, names and status', async () => {
  await using intake = await openIntake();
  intake.queue.results.set(jobId, issued);
  const answer = await intake.post(csr);
  await answer.text();
  const requests = intake.log.lines.filter(({ msg }) => msg === 'request');
  assert.equal(requests.length, 1);
  const { request, client, method, path, status, job, names, seconds } = requests[0] ?? {};
  assert.deepEqual(
    { request, client, method, path, status, job, names },
    {
      ...{ request: answer.headers.get('X-Request-Id'), client: '127.0.0.1', method: 'POST', path: '/sign' },
      ...{ status: 200, job: jobId, names: ['www.example.org'] },
    },
  );
  assert.equal(typeof seconds, 'number');
});

test('a refused request is logged with the reason', async () => {
  await using intake = await openIntake();
  await intake.post('no CSR');
  const [line] = intake.log.lines.filter(({ msg }) => msg === 'request');
  assert.deepEqual(
    [line?.status, line?.reason],
    [415, 'the body holds no PEM certificate request: post the file itself (curl --data-binary @host.csr)'],
  );
});

test('the log holds neither CSR, HMAC, key nor certificate', async () => {
  await using intake = await openIntake();
  intake.queue.results.set(jobId, issued);
  await intake.post(csr);
  await intake.post(csr, hmacHeader('another body'));
  await intake.post('no CSR');
  const text = intake.log.text();
  const secrets = [
    hmacKey,
    hmacHeader(csr).Authentication.slice(-20),
    'BEGIN CERT',
    ...csr.split('\n').filter(one => one.length > 30),
  ];
  assert.deepEqual(
    secrets.filter(secret => text.includes(secret)),
    [],
  );
});

test('requests are counted by method and status', async () => {
  await using intake = await openIntake();
  await (await fetch(`${intake.url}/none`)).text();
  await (await intake.post('no CSR')).text();
  const figures = await intake.metrics.metrics();
  assert.match(figures, /quarry_intake_request_seconds_count\{method="GET",status="404"\} 1/);
  assert.match(figures, /quarry_intake_request_seconds_count\{method="POST",status="415"\} 1/);
});

test("a request of an ACME client is logged with its account's id", async () => {
  const { log, lines } = keptLog();
  const routes = {
    async current({ state }: { state: Record<string, unknown> }) {
      state.clientAccount = 'its id';
    },
  };
  const refusals = { note: async () => {} };
  const app = createApp({ routes, refusals, clock: turnedClock(0), log, metrics: openMetrics() });
  await using server = await listen(app.callback());
  await fetch(`${server.url}/acme/new-order`, { method: 'POST' });
  assert.equal(lines.find(({ msg }) => msg === 'request')?.clientAccount, 'its id');
});
