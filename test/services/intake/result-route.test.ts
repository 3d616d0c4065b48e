import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../support/wait-until.ts';
import { chain, hmacBlock, hmacHeader, issued, jobId, loopbackBlock, openIntake } from './open-intake.ts';

const path = `/sign/${jobId}`;

/** An intake that knows a job of the block `hmac`. */
async function openWithJob(...[blocks, options]: Parameters<typeof openIntake>) {
  const intake = await openIntake(blocks, options);
  intake.queue.blocks.set(jobId, 'hmac');
  const get = (headers: Record<string, string> = {}, at = path) => fetch(intake.url + at, { headers });
  return Object.assign(intake, { get });
}

test('GET /sign/<id> hands out the chain, and who issued it, to a client with an HMAC over the path', async () => {
  await using intake = await openWithJob();
  const issuedBy = { account: 'zerossl', directory: 'https://ca.example/directory' };
  const named = { ...issued, issuedBy };
  intake.queue.results.set(jobId, named);
  const answer = await intake.get(hmacHeader(path));
  assert.deepEqual([answer.status, await answer.text()], [200, chain]);
  assert.equal(answer.headers.get('X-Quarry-Account'), 'zerossl');
});

test('GET /sign/<id> refuses an HMAC over something else', async () => {
  await using intake = await openWithJob();
  intake.queue.results.set(jobId, issued);
  const answer = await intake.get(hmacHeader('/sign/another'));
  assert.deepEqual(
    [answer.status, await answer.text()],
    [
      403,
      'the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)\n',
    ],
  );
  assert.equal((await intake.get()).status, 403);
});

test('GET /sign/<id> is only for clients of the block that admitted the job', async () => {
  await using intake = await openWithJob([hmacBlock, loopbackBlock]);
  intake.queue.results.set(jobId, issued);
  const answer = await intake.get();
  assert.deepEqual([answer.status, await answer.text()], [403, 'this result is not for this client\n']);
  intake.queue.blocks.set(jobId, 'loopback');
  assert.equal((await intake.get()).status, 200);
});

for (const id of [
  '00000000-0000-4000-8000-000000000000',
  'x',
  '%2e%2e',
  '%00',
  '%E0%A4%A',
  jobId.toUpperCase(),
  '7',
])
  test(`GET /sign/${id} is 404 for an admitted client, and asks the queue for ids only`, async () => {
    await using intake = await openWithJob([loopbackBlock]);
    for (const known of ['x', '7', '..']) intake.queue.blocks.set(known, 'loopback');
    assert.equal((await intake.get({}, `/sign/${id}`)).status, 404);
  });

test('GET /sign/<id> is 404 for a job that never gets a result, so that the CSR is posted again', async () => {
  await using intake = await openWithJob([loopbackBlock]);
  intake.queue.blocks.set(jobId, 'loopback');
  intake.queue.failed.add(jobId);
  const answer = await intake.get();
  assert.deepEqual([answer.status, await answer.text()], [404, 'no such result\n']);
});

test('GET /sign/<id> answers strangers 403 whether there is such a result or not', async () => {
  await using intake = await openWithJob([{ ...loopbackBlock, ips: ['192.0.2.1'] }]);
  assert.equal((await intake.get()).status, 403);
  assert.equal((await intake.get({}, '/sign/x')).status, 403);
});

test('GET /sign/<id> understands Prefer as the post does', async () => {
  await using intake = await openWithJob();
  const patient = await intake.get({ ...hmacHeader(path), Prefer: 'wait=0' });
  assert.deepEqual([patient.status, patient.headers.get('Location')], [202, path]);
  const plain = await intake.get(hmacHeader(path));
  assert.deepEqual([plain.status, plain.headers.get('Retry-After')], [503, '5']);
  assert.deepEqual(intake.queue.promised, []);
});

test('GET /sign/<id> answers how a job failed', async () => {
  await using intake = await openWithJob();
  const error = { code: 'challengeFailed', detail: 'a.example: NXDOMAIN' } as const;
  intake.queue.results.set(jobId, { outcome: 'failed', block: 'hmac', error });
  const answer = await intake.get(hmacHeader(path));
  assert.deepEqual([answer.status, await answer.text()], [421, 'a.example: NXDOMAIN\n']);
});

test('GET /sign/<id> frees its waiter when the intake stops', async () => {
  await using intake = await openWithJob([hmacBlock], { wait: 3600 });
  const asking = intake.get(hmacHeader(path));
  await waitUntil('it to wait', () => intake.queue.waiting === 1);
  intake.stopping.abort();
  assert.equal((await asking).status, 503);
});
