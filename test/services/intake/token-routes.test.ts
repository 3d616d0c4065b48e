import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import type { JudgeToken } from '../../../shared/admission/token-method.ts';
import { newToken, tokenDigest } from '../../../shared/admission/token-record.ts';
import type { OneCertificate, Used } from '../../../shared/admission/token-types.ts';
import { newCheckpoint, newOrderState } from '../../../shared/order/next-step.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import { makeCertificate } from '../../shared/pki/openssl-csr.ts';
import { makeCsr } from '../../support/csr.ts';
import { heldClock } from '../../support/held-clock.ts';
import { hmacBlock, hmacHeader, jobId, openIntake } from './open-intake.ts';

const { hmac: _, ...plain } = hmacBlock;
const tokenBlock: AuthBlockConfig = { ...plain, name: 'tokens', token: true };
const token = newToken();
const bearer = { Authorization: `Bearer ${token}` };
const csr = (await makeCsr({ names: ['web1.example.org'] })).csrPem;
const other = (await makeCsr({ names: ['web1.example.org'] })).csrPem;
const pem = makeCertificate({ names: 'DNS:web1.example.org' });
const foreign = makeCertificate({ names: 'DNS:web2.example.org' });

/** An intake that knows the token, good for web1.example.org. */
function openWithToken(once?: OneCertificate, blocks = [tokenBlock]) {
  const asked: (string | undefined)[] = [];
  const judgeToken: JudgeToken = async shown => {
    const digest = 'digest' in shown ? shown.digest : undefined;
    asked.push(digest);
    if (digest !== tokenDigest(token)) return { refused: 'the token is not known' };
    const proof = {
      by: 'token web1',
      mayHave: ({ value }: { value: string }) => value === 'web1.example.org',
    };
    return once ? { ...proof, once } : proof;
  };
  return openIntake(blocks, { judgeToken, clock: heldClock(1_000_000) }).then(intake =>
    Object.assign(intake, { asked }),
  );
}

function oneCertificate(used?: Used): OneCertificate {
  const bound: Used[] = [];
  return {
    digest: tokenDigest(token),
    used: used && { ...used, enqueued: true },
    bind: async use => {
      bound.push(use);
      return use;
    },
    noteEnqueued: async () => {},
  };
}

test('POST /sign takes a bearer token, and says whose it was; neither job nor log has the token', async () => {
  await using intake = await openWithToken();
  const answer = await intake.post(csr, bearer);
  assert.equal(answer.status, 503);
  assert.equal(intake.queue.enqueued[0]?.by, 'token web1');
  assert.equal(intake.queue.enqueued[0]?.spends, undefined);
  const told = JSON.stringify(intake.queue.enqueued) + intake.log.text();
  assert.ok(!told.includes(token.slice(7)));
});

for (const [what, Authorization, status] of [
  ['in lower case', `bearer ${token}`, 503],
  ['with spaces around', `  BEARER   ${token} `, 503],
  ['with something behind', `Bearer ${token}, Bearer ${token}`, 403],
  ['that is another', `Bearer ${newToken()}`, 403],
  ['that is missing', 'Bearer', 403],
  ['in another scheme', `Basic ${token}`, 403],
] as const) {
  test(`POST /sign answers ${status} to a token ${what}`, async () => {
    await using intake = await openWithToken();
    assert.equal((await intake.post(csr, { Authorization })).status, status);
  });
}

test('a request without a token asks about none, and goes to a block that wants none', async () => {
  await using intake = await openWithToken(undefined, [tokenBlock, hmacBlock]);
  assert.equal((await intake.post(csr)).status, 503);
  assert.equal(intake.queue.enqueued[0]?.by, 'hmac key 1');
  assert.deepEqual(intake.asked, []);
});

test('a block with an HMAC and a token wants both', async () => {
  await using intake = await openWithToken(undefined, [{ ...hmacBlock, token: true }]);
  assert.equal((await intake.post(csr, bearer)).status, 403);
  assert.equal((await intake.post(csr)).status, 403);
  assert.equal((await intake.post(csr, { ...bearer, ...hmacHeader(csr) })).status, 503);
  assert.equal(intake.queue.enqueued[0]?.by, 'hmac key 1, token web1');
});

test('a one-time token goes into the job that it is spent for, and once spent orders for no other CSR', async () => {
  await using first = await openWithToken(oneCertificate());
  assert.equal((await first.post(csr, bearer)).status, 503);
  assert.equal(first.queue.enqueued[0]?.spends, tokenDigest(token));
  const used = { csr: readCsr(Buffer.from(csr)).digest, job: jobId };
  await using second = await openWithToken(oneCertificate(used));
  const answer = await second.post(other, bearer);
  assert.deepEqual(
    [answer.status, await answer.text()],
    [403, 'the token was for one certificate, and has been used\n'],
  );
  assert.deepEqual(second.queue.enqueued, []);
  second.queue.blocks.set(jobId, 'tokens');
  second.queue.results.set(jobId, { outcome: 'issued', block: 'tokens', chain: pem });
  const again = await second.post(csr, bearer);
  assert.deepEqual([again.status, await again.text()], [200, pem]);
  assert.deepEqual(second.queue.enqueued, []);
});

const get = (intake: { url: string }) => fetch(`${intake.url}/sign/${jobId}`, { headers: bearer });

test('GET /sign/<id> gives a token the results for its own names alone', async () => {
  await using intake = await openWithToken();
  intake.queue.blocks.set(jobId, 'tokens');
  intake.queue.results.set(jobId, { outcome: 'issued', block: 'tokens', chain: pem });
  assert.equal((await get(intake)).status, 200);
  intake.queue.results.set(jobId, { outcome: 'issued', block: 'tokens', chain: foreign });
  const answer = await get(intake);
  assert.deepEqual([answer.status, await answer.text()], [403, 'this result is not for this client\n']);
});

test('GET /sign/<id> gives a one-time token the result of its own job alone', async () => {
  for (const [job, status] of [
    [jobId, 200],
    ['00000000-0000-4000-8000-000000000000', 403],
  ] as const) {
    await using intake = await openWithToken(oneCertificate({ csr: '', job }));
    intake.queue.blocks.set(jobId, 'tokens');
    intake.queue.results.set(jobId, { outcome: 'issued', block: 'tokens', chain: pem });
    assert.equal((await get(intake)).status, status);
  }
});

test('GET /sign/<id> tells a one-time token why its job failed, which has let the token go', async () => {
  await using intake = await openWithToken(oneCertificate());
  intake.queue.blocks.set(jobId, 'tokens');
  const error = { code: 'challengeFailed', detail: 'the CA has seen no response' } as const;
  intake.queue.results.set(jobId, { outcome: 'failed', block: 'tokens', error });
  const answer = await get(intake);
  assert.deepEqual([answer.status, await answer.text()], [421, 'the CA has seen no response\n']);
  intake.queue.results.set(jobId, { outcome: 'issued', block: 'tokens', chain: pem });
  assert.equal((await get(intake)).status, 403); // of another
});

for (const [whose, names, used, line] of [
  ['its own names', ['web1.example.org'], undefined, 'proving web1.example.org'],
  ['a name of another client besides', ['web1.example.org', 'web2.example.org'], undefined, undefined],
  ['no name that is known', undefined, undefined, undefined],
  ['its own names, as a token that is for it', ['web1.example.org'], jobId, 'proving web1.example.org'],
  ['its own names, as a token that is for no job yet', ['web1.example.org'], '', undefined],
] as const)
  test(`GET /sign/<id> tells a token ${line ? 'what' : 'nothing of what'} goes on with a job for ${whose}`, async () => {
    const once = used === undefined ? undefined : oneCertificate(used ? { csr: '', job: used } : undefined);
    await using intake = await openWithToken(once);
    intake.queue.blocks.set(jobId, 'tokens');
    const identifier = { type: 'dns', value: 'web1.example.org' } as const;
    const challenge = { identifier, url: '', token: '', solver: '', told: false };
    const order = newCheckpoint({ ...newOrderState(), url: 'an order', challenges: [challenge] });
    const saved = { orders: { account: order }, refusals: [] };
    intake.queue.standing.set(jobId, { isParked: false, isHeld: true, doing: undefined, saved });
    if (names)
      intake.queue.names.set(
        jobId,
        names.map(value => ({ type: 'dns', value })),
      );
    const [plain, events] = await Promise.all(
      [['Prefer', 'wait=0'] as const, ['Accept', 'text/event-stream'] as const].map(async ([name, value]) => {
        const headers = { ...bearer, [name]: value };
        const answer = await fetch(`${intake.url}/sign/${jobId}`, { headers });
        return answer.text();
      }),
    );
    assert.equal(plain, `${line ?? 'the certificate is being worked on'}: fetch /sign/${jobId}\n`);
    assert.deepEqual(/^event: progress\n.*\ndata: (.*)$/m.exec(events ?? '')?.[1], line);
  });

test('POST /revoke takes a token for its names, and no one-time token', async () => {
  await using intake = await openWithToken();
  assert.equal((await intake.post(pem, bearer, '/revoke')).status, 200);
  assert.equal((await intake.post(foreign, bearer, '/revoke')).status, 403);
  await using once = await openWithToken(oneCertificate());
  assert.equal((await once.post(pem, bearer, '/revoke')).status, 403);
  assert.deepEqual(once.revokeQueue.enqueued, []);
});
