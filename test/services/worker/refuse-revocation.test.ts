import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refuseRevocation } from '../../../services/worker/refuse-revocation.ts';
import { openAdmission } from '../../../shared/admission/admit.ts';
import type { RevokeJobData } from '../../../shared/queue/revoke-queue.ts';
import type { TrailEvent } from '../../../shared/trail/event.ts';
import { makeCertificate } from '../../shared/pki/openssl-csr.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { turnedClock } from '../../support/turned-clock.ts';

const certificate = makeCertificate({ names: 'DNS:www.example.org' });
const data: RevokeJobData = {
  ...{ certificate, names: ['www.example.org'], block: 'web', accounts: ['default'], requestId: 'request-1' },
};

/** What becomes of a job where one block has these names. */
async function judge(domain: string, more: Partial<RevokeJobData>, isSealed: boolean) {
  const { blocks } = openAdmission([
    {
      ...{ name: 'web', ips: [], all: true, domains: [domain], addresses: [], verifications: ['http'] },
      ...{ challenges: ['http-01'], storage: 'none', accounts: [{ account: 'default' }] },
    },
  ]);
  const told: TrailEvent[] = [];
  const parts = {
    blocks: new Map(blocks.map(block => [block.name, block])),
    trail: { write: async (event: TrailEvent) => void told.push(event) },
    ...{ clock: turnedClock(7_000), log: quietLog },
  };
  const job = { data: { ...data, ...more }, lock: { jobId: 'job-1', token: '' }, isSealed };
  const result = await refuseRevocation(parts, job);
  return { result: result?.outcome, told: told.map(({ event }) => event) };
}

const done = { result: undefined, told: [] };
const refused = { result: 'failed', told: ['refused'] };

test('a revocation is judged by the names of the certificate, whatever names the job says', async () => {
  assert.deepEqual(await judge('*.example.org', {}, true), done);
  assert.deepEqual(await judge('*.example.net', {}, true), refused);
  assert.deepEqual(await judge('*.example.net', { names: ['www.example.net'] }, true), refused);
});

test('an operator may revoke and forget what no block admits any more, in a job that bears a seal', async () => {
  for (const operator of ['revoke', 'forget'] as const) {
    assert.deepEqual(await judge('*.example.net', { operator, block: 'gone' }, true), done);
    assert.deepEqual(await judge('*.example.org', { operator }, false), refused);
  }
});

test('who ordered a certificate, or has its key, may revoke what no block admits any more, in a job that bears a seal', async () => {
  for (const holds of ['order', 'key'] as const) {
    assert.deepEqual(await judge('*.example.net', { holds, block: 'gone' }, true), done);
    assert.deepEqual(await judge('*.example.org', { holds }, false), refused);
  }
});
