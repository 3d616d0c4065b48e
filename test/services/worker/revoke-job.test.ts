import assert from 'node:assert/strict';
import { hash, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { type RevokeJobParts, runRevokeJob } from '../../../services/worker/revoke-job.ts';
import { readKeyDigest } from '../../../shared/pki/public-key.ts';
import type { RevokeJobData } from '../../../shared/queue/revoke-queue.ts';
import type { KeptEntry, Storage } from '../../../shared/storage/storage.ts';
import type { TrailEvent } from '../../../shared/trail/event.ts';
import { startWithAccount } from '../../shared/acme/account-ready.ts';
import { type CaAnswer, problem } from '../../shared/acme/fake-ca.ts';
import { never } from '../../shared/acme/open-connection.ts';
import { makeCertificate } from '../../shared/pki/openssl-csr.ts';
import { keptLog } from '../../support/kept-log.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { calmCa } from './job-parts.ts';

const certificate = makeCertificate();
const data: RevokeJobData = {
  certificate,
  names: ['example.org'],
  block: 'mail',
  accounts: ['account'],
  requestId: 'request-1',
};

/** A CA that answers with what a test says, and a storage of which the index knows nothing. */
async function openRevoking(answer: CaAnswer) {
  const ready = await startWithAccount();
  const { ca, connection, account } = ready;
  ca.resources = { revokeCert: `${ca.url}/revoke` };
  delete connection.directory;
  ca.on('/revoke', () => answer);
  const [marked, removed, renewed, log] = [[] as string[], [] as string[], [] as string[], keptLog()];
  const fault: { value: Error | undefined } = { value: undefined };
  const entry = {} as KeptEntry;
  const indexed: unknown[] = [];
  const blocked: unknown[] = [];
  const refused: string[] = [];
  const clients: unknown[] = [];
  const upkeep = {
    keys: async (cursor: string) => ({
      keys: [cursor || 'first'],
      cursor: cursor === '' ? 'second' : undefined,
    }),
    async remove(key: string) {
      if (fault.value) throw fault.value;
      removed.push(key);
      return key === 'second' ? entry : undefined;
    },
  };
  const events: TrailEvent[] = [];
  const guard = calmCa('account', connection, account);
  guard.account.renew = async lost => {
    renewed.push(lost.url);
    return lost;
  };
  const parts: RevokeJobParts = {
    log: log.log,
    cas: new Map([['account', guard]]),
    storages: new Map([['kept', { name: 'kept', upkeep } as unknown as Storage]]),
    expiry: { endingAt: async () => [] },
    unstored: { list: async () => [], drop: async () => {} },
    renewals: { revoked: async (...told) => void indexed.push(told) },
    records: { withhold: async pem => void marked.push(pem) },
    findIssuing: async cas => ({ issuing: [...cas], isClaimed: false }),
    revokedCertificates: { mark: async pem => void refused.push(pem) },
    clientCertificates: { mark: async (...mark) => void clients.push(mark) },
    blockedKeys: { block: async (...block) => void blocked.push(block) },
    trail: { write: async event => void events.push(event) },
    clock: turnedClock(7_000),
  };
  const known = { marked, refused, clients, blocked, removed, indexed, entry, renewed };
  return { ...ready, ...known, events, ca, parts, log, fault };
}

test('a revoke job revokes, marks the certificate, and removes it from storage', async () => {
  await using opened = await openRevoking({});
  const result = await runRevokeJob(opened.parts, { ...data, reason: 'superseded' }, false, never);
  assert.deepEqual(result, { outcome: 'revoked', already: false, account: 'account' });
  assert.equal(opened.ca.requests.at(-1)?.payload?.reason, 4);
  assert.deepEqual([opened.marked, opened.removed], [[certificate], ['first', 'second']]);
  assert.deepEqual(opened.refused, [certificate]);
  const fingerprint = hash('sha256', new X509Certificate(certificate).raw);
  assert.deepEqual(opened.clients, [[fingerprint, { revoked: 7_000 }]]);
  assert.deepEqual(opened.indexed, [['kept', 'second', opened.entry]]);
  const [{ msg, request, names, reason, removed } = {}] = opened.log.lines;
  assert.deepEqual([msg, request], ['certificate revoked', 'request-1']);
  const { raw, serialNumber } = new X509Certificate(certificate);
  const what = { serial: serialNumber.toLowerCase(), fingerprint: hash('sha256', raw) };
  const who = {
    block: data.block,
    by: undefined,
    client: undefined,
    account: 'account',
    request: 'request-1',
  };
  const event = {
    at: 7_000,
    event: 'revoked',
    names: ['example.org'],
    ...what,
    ...who,
    detail: 'superseded',
  };
  assert.deepEqual(opened.events, [event]);
  assert.deepEqual([names, reason, removed], [['example.org'], 'superseded', ['kept']]);
});

test('a job to forget asks the CA for nothing, and the rest is as for a revocation', async () => {
  await using opened = await openRevoking(problem(400, 'alreadyRevoked', 'revoked before'));
  const before = opened.ca.requests.length;
  const forget = { ...data, operator: 'forget', reason: 'keyCompromise' } as const;
  const result = await runRevokeJob(opened.parts, forget, false, never);
  assert.deepEqual(result, { outcome: 'forgotten', storages: ['kept'] });
  assert.deepEqual([opened.ca.requests.length, opened.blocked], [before, []]);
  assert.deepEqual([opened.marked, opened.removed], [[certificate], ['first', 'second']]);
  assert.deepEqual(opened.indexed, [['kept', 'second', opened.entry]]);
  opened.fault.value = new Error('the disk is full');
  await assert.rejects(runRevokeJob(opened.parts, forget, false, never), /the disk is full/);
});

test('a revoke job that runs again after the CA has done it does the rest', async () => {
  await using opened = await openRevoking(problem(400, 'alreadyRevoked', 'revoked before'));
  assert.deepEqual(await runRevokeJob(opened.parts, data, false, never), {
    outcome: 'revoked',
    already: true,
    account: 'account',
  });
  assert.deepEqual(
    opened.events.map(({ event, detail }) => [event, detail]),
    [['revoked', 'it was revoked before']],
  );
  assert.deepEqual([opened.marked, opened.removed], [[certificate], ['first', 'second']]);
});

const compromised = { ...data, reason: 'keyCompromise' } as const;

for (const [what, answer] of [
  ['is revoked for keyCompromise', {}],
  ['was revoked before', problem(400, 'alreadyRevoked', 'revoked before')],
] as const)
  test(`a revoke job blocks the key of a certificate that ${what}, before anything else can fail`, async () => {
    await using opened = await openRevoking(answer);
    opened.parts.records.withhold = async () => Promise.reject(new Error('Redis is away'));
    await assert.rejects(runRevokeJob(opened.parts, compromised, false, never), /Redis is away/);
    const reason = 'a certificate for example.org was revoked, as the key is compromised';
    assert.deepEqual(opened.blocked, [[readKeyDigest(certificate), { reason, at: 7_000 }]]);
  });

test('a revoke job blocks no key for another reason, nor where the CA refuses', async () => {
  await using opened = await openRevoking({});
  await runRevokeJob(opened.parts, { ...data, reason: 'superseded' }, false, never);
  await runRevokeJob(opened.parts, data, false, never);
  assert.deepEqual(opened.blocked, []);
  await using refusing = await openRevoking(problem(403, 'unauthorized', 'not yours'));
  await runRevokeJob(refusing.parts, compromised, false, never);
  assert.deepEqual(refusing.blocked, []);
});

test('a revoke job blocks no key where nothing but its name says who issued the certificate, and says so', async () => {
  await using opened = await openRevoking(problem(400, 'alreadyRevoked', 'revoked before'));
  opened.parts.findIssuing = async cas => ({ issuing: [...cas], isClaimed: true });
  const result = await runRevokeJob(opened.parts, compromised, false, never);
  assert.deepEqual([result.outcome, opened.blocked, opened.marked], ['revoked', [], [certificate]]);
  assert.match(opened.log.text(), /the key is not blocked.*quarry keys block does it/);
});

for (const [status, kind, code] of [
  [403, 'unauthorized', 'denied'],
  [404, 'malformed', 'unknown'],
  [429, 'rateLimited', 'rateLimited'],
] as const)
  test(`a revoke job ends with ${code} for ${kind}, and keeps what is stored`, async () => {
    await using opened = await openRevoking(problem(status, kind, 'the reason'));
    const result = await runRevokeJob(opened.parts, data, false, never);
    assert.equal(result.outcome === 'failed' && result.error.code, code);
    assert.deepEqual([opened.marked, opened.removed], [[], []]);
  });

test('a revoke job comes again while the CA is away, and ends with that at last', async () => {
  await using opened = await openRevoking(problem(500, 'serverInternal', 'later'));
  await assert.rejects(runRevokeJob(opened.parts, data, false, never), { code: 'unavailable' });
  const result = await runRevokeJob(opened.parts, data, true, never);
  assert.equal(result.outcome === 'failed' && result.error.code, 'unavailable');
});

test('a revoke job has an account that the CA has lost made anew, and comes again', async () => {
  await using opened = await openRevoking(problem(400, 'accountDoesNotExist', 'who?'));
  await assert.rejects(runRevokeJob(opened.parts, data, false, never), { code: 'gone' });
  assert.deepEqual(opened.renewed, [opened.account.url]);
});

test('a revoke job whose certificate cannot be removed from storage comes again, and tells nothing of it', async () => {
  await using opened = await openRevoking({});
  opened.fault.value = new Error('EACCES: /var/lib/quarry');
  await assert.rejects(runRevokeJob(opened.parts, data, false, never), /EACCES/);
  const result = await runRevokeJob(opened.parts, data, true, never);
  assert.deepEqual(result, { outcome: 'failed', error: { code: 'internal', detail: 'internal error' } });
  assert.match(opened.log.text(), /"level":50.*EACCES/);
});

test('a revoke job that is cut off ends with that, also at its last attempt, and writes nothing of a failure', async () => {
  await using opened = await openRevoking({});
  const [cut, reason] = [new AbortController(), new Error('the worker is stopping')];
  opened.parts.records.withhold = async () => {
    cut.abort(reason);
  };
  await assert.rejects(runRevokeJob(opened.parts, data, true, cut.signal), error => error === reason);
  assert.deepEqual([opened.removed, opened.log.lines], [[], []]);
});

test('a revoke job asks every account, and of their refusals a CA that is away counts more than one that did not issue', async () => {
  await using foreign = await openRevoking(problem(403, 'unauthorized', 'not yours'));
  await using away = await openRevoking(problem(500, 'serverInternal', 'later'));
  const second = away.parts.cas.get('account');
  assert.ok(second);
  foreign.parts.cas = new Map([...foreign.parts.cas, ['second', second]]);
  await assert.rejects(runRevokeJob(foreign.parts, data, false, never), { code: 'unavailable' });
  assert.match(foreign.log.text(), /revoking again later/);
  const result = await runRevokeJob(foreign.parts, data, true, never);
  assert.equal(result.outcome === 'failed' && result.error.code, 'unavailable');
  assert.match(foreign.log.text(), /not revoked/);
});
