import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AdmittingBlock, openAdmission } from '../../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import { openIssuing } from '../../../shared/issue/request-certificate.ts';
import type { StandingLimitError } from '../../../shared/limits/limits.ts';
import type { BlockedKey } from '../../../shared/limits/standing-limit.ts';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import { parseCsr, readCsr } from '../../../shared/pki/csr.ts';
import type { Storage } from '../../../shared/storage/storage.ts';
import type { TrailEvent } from '../../../shared/trail/event.ts';
import { keptLog } from '../../support/kept-log.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { makeCertificate, makeCsr } from '../pki/openssl-csr.ts';
import { jobId, openFakeQueue } from '../queue/fake-sign-queue.ts';

const csr = readCsr(Buffer.from(makeCsr({ names: 'DNS:a.example' })));
const chain = makeCertificate({ names: 'DNS:a.example' });
const stored = { chain, leaf: readCertificate(chain) };
const identifiers: Identifier[] = [{ type: 'dns', value: 'a.example' }];
const { publicKey } = parseCsr(csr.der);
const post = { identifiers, publicKey, requestId: 'r', client: '192.0.2.7', patience: 60_000 };

const toConfig = (name: string, domain: string, storage: string): AuthBlockConfig => ({
  name,
  ips: [],
  all: true,
  domains: [domain],
  addresses: [],
  verifications: ['http'],
  challenges: ['http-01'],
  storage,
  accounts: [{ account: 'default' }],
});

const admission = openAdmission([
  toConfig('web', '*.example', 'kept'),
  toConfig('mail', 'a.example', 'kept'),
  toConfig('other', '*.example', 'elsewhere'),
]);
const blockNamed = (name: string) => {
  const block = admission.blocks.find(one => one.name === name);
  assert.ok(block);
  return { ...block, by: 'all' };
};
const web = blockNamed('web');
const withAccounts = (...names: string[]): AdmittingBlock =>
  Object.assign({ ...web }, { accounts: names.map(account => ({ account })) });

const toAccount = (account: string) => ({
  account,
  directory: `https://${account}.ca.example.org/directory`,
});
const issuedBy = toAccount('zerossl');
type Lookup = Awaited<ReturnType<Storage['get']>>;

/** What the storages hold, which limit stands at which account, and who records a fetch, as a test says. */
function open(
  options: {
    kept?: Partial<Record<'kept' | 'elsewhere', Lookup | Promise<Lookup> | Error>>;
    standing?: Record<string, IssuanceError | Error>;
    blocked?: Map<string, BlockedKey>;
    fetched?: (...fetch: unknown[]) => Promise<void>;
  } = {},
) {
  const { kept = {}, standing = {}, blocked = new Map(), fetched = async () => {} } = options;
  const [clock, log, queue] = [turnedClock(1_000_000), keptLog(), openFakeQueue()];
  const toStorage = (name: 'kept' | 'elsewhere'): [string, Storage] => {
    const get = async () => {
      const found = kept[name];
      if (found instanceof Error) throw found;
      return found;
    };
    return [name, { name, get, put: async () => {} }];
  };
  const accounts = [...new Set(['default', 'zerossl', 'free', ...Object.keys(standing)])].map(toAccount);
  const asked: unknown[] = [];
  const events: TrailEvent[] = [];
  const stand = (account: string) => {
    const limit = standing[account];
    if (limit && !(limit instanceof IssuanceError)) throw limit;
    return limit as StandingLimitError | undefined;
  };
  const issuing = openIssuing({
    admission,
    storages: new Map([toStorage('kept'), toStorage('elsewhere')]),
    limits: new Map(
      accounts.map(({ account }) => [
        account,
        {
          standingAgainst: async (...what) => {
            asked.push(what);
            return stand(account);
          },
          keysAgainst: (...what) => [`${account} ${JSON.stringify(what)}`],
        },
      ]),
    ),
    accounts,
    signQueue: queue,
    renewals: { fetched },
    blockedKeys: blocked,
    trail: { write: async event => void events.push(event) },
    clock,
    log: log.log,
  });
  return { issuing, clock, log, queue, asked, events };
}

const asker = { client: '192.0.2.1', requestId: 'r' };

test('findStored() gives the chain, its names, and the account that ordered it where that is recorded', async () => {
  const { issuing } = open({ kept: { kept: stored } });
  const { identifiers } = stored.leaf;
  const unnamed = { chain, account: undefined, identifiers };
  assert.deepEqual(await issuing.findStored([web], csr, asker), { stored: unnamed });
  const named = open({ kept: { kept: { ...stored, issuedBy } } });
  const found = await named.issuing.findStored([withAccounts('default', 'zerossl')], csr, asker);
  assert.deepEqual(found, { stored: { chain, account: 'zerossl', identifiers } });
});

test('findStored() gives no certificate of an account that the block would not order from', async () => {
  const { issuing } = open({ kept: { kept: { ...stored, issuedBy } } });
  assert.equal((await issuing.findStored([web], csr, asker)).stored, undefined);
  assert.equal((await issuing.findStored([withAccounts('free')], csr, asker)).stored, undefined);
  // Nobody knows who issued macen's certificates.
  assert.equal(
    (await open({ kept: { kept: stored } }).issuing.findStored([web], csr, asker)).stored?.chain,
    chain,
  );
});

test('findStored() looks into the storage of the block that would order, whatever another one does', async () => {
  const away = new IssuanceError('unavailable', 'what is stored cannot be read');
  const never = new Promise<Lookup>(() => {});
  const broken = open({ kept: { kept: away, elsewhere: stored } });
  // The storage `elsewhere` belongs to another block than the one that would order, so it does not count.
  const both = [web, blockNamed('other')];
  assert.deepEqual(await broken.issuing.findStored(both, csr, asker), {
    unread: { storage: 'kept', fault: away },
  });
  assert.equal((await broken.issuing.findStored([blockNamed('other')], csr, asker)).stored?.chain, chain);
  const hanging = open({ kept: { kept: stored, elsewhere: never } });
  for (let time = 0; time < 2; time++)
    assert.equal((await hanging.issuing.findStored(both, csr, asker)).stored?.chain, chain);
});

test('findStored() looks into the storage of each block for a CSR that would not be ordered now', async () => {
  const { issuing } = open({ kept: { elsewhere: stored } });
  const old = { ...csr, der: Buffer.from('what once was ordered') };
  assert.deepEqual(await issuing.findStored([web, blockNamed('other')], old, asker), {});
  const twice = [blockNamed('other'), { ...blockNamed('other'), storage: 'kept' }];
  assert.equal((await issuing.findStored(twice, old, asker)).stored?.chain, chain);
});

test('findStored() takes a Redis that fails for a storage that cannot be read, and a bug for a bug', async () => {
  const closed = open({ kept: { kept: new Error('Connection is closed.') } });
  const { unread } = await closed.issuing.findStored([web], csr, asker);
  assert.equal(unread?.fault.message, 'Redis cannot be reached');
  const broken = open({ kept: { kept: new TypeError('undefined is not a function') } });
  await assert.rejects(broken.issuing.findStored([web], csr, asker), TypeError);
});

test('what clients find over and over is recorded as fetched once an hour, for each auth block', async () => {
  const recorded: unknown[] = [];
  const fetched = async (...fetch: unknown[]) => void recorded.push(fetch);
  const { issuing, clock } = open({ kept: { kept: stored }, fetched });
  for (const name of ['web', 'web', 'mail']) await issuing.findStored([blockNamed(name)], csr, asker);
  clock.turn(3_600_000);
  await issuing.findStored([web], csr, asker);
  assert.deepEqual(recorded, [
    ['kept', csr, 'web', 1_000_000],
    ['kept', csr, 'mail', 1_000_000],
    ['kept', csr, 'web', 4_600_000],
  ]);
});

test('a fetch that Redis could not record is recorded at the next one', async () => {
  let tries = 0;
  const fetched = async () => {
    if (++tries === 1) throw new Error('Redis is away');
  };
  const { issuing } = open({ kept: { kept: stored }, fetched });
  await issuing.findStored([web], csr, asker);
  await new Promise(setImmediate);
  await issuing.findStored([web], csr, asker);
  assert.equal(tries, 2);
});

const limit = (detail: string, code: IssuanceError['code'] = 'rateLimited') =>
  new IssuanceError(code, detail, { retryAfter: 2_000_000 });

test('order() is refused where a limit stands at every account of the block, with the words of the first', async () => {
  const { issuing, queue } = open({ standing: { first: limit('one'), second: limit('two') } });
  const refused = issuing.order(withAccounts('first', 'second'), csr, post);
  await assert.rejects(refused, { code: 'rateLimited', message: 'one', retryAfter: 2_000_000 });
  await assert.rejects(issuing.order(withAccounts('second'), csr, post), { message: 'two' });
  assert.deepEqual(queue.enqueued, []);
});

test('order() does nothing to a one-time token where a limit stands', async () => {
  const { issuing } = open({ standing: { default: limit('one') } });
  const touched = () => assert.fail('the token was touched');
  const once = { used: undefined, digest: '', bind: touched, noteEnqueued: touched };
  await assert.rejects(issuing.order({ ...web, once }, csr, post), { message: 'one' });
});

test('order() makes a job where one account of the block is free, whichever it is', async () => {
  const { issuing, queue } = open({ standing: { limited: limit('one') } });
  for (const accounts of [
    ['limited', 'free'],
    ['free', 'limited'],
  ]) {
    const job = await issuing.order(withAccounts(...accounts), csr, post);
    assert.equal(job.id, jobId);
  }
  assert.equal(queue.enqueued.length, 2);
  assert.deepEqual(queue.enqueued[0]?.identifiers, identifiers);
});

test('order() does not refuse a client because a CA asked for a moment', async () => {
  const { issuing, queue } = open({
    standing: { busy: limit('a moment', 'unavailable'), limited: limit('one') },
  });
  await issuing.order(withAccounts('busy', 'limited'), csr, post);
  await issuing.order(withAccounts('busy'), csr, post);
  assert.equal(queue.enqueued.length, 2);
});

test('order() asks for the limits of the one account that the block has', async () => {
  const { issuing } = open({ standing: { default: limit('one') } });
  await assert.rejects(issuing.order(web, csr, post), { message: 'one' });
});

test('order() is refused where the validation of the names fails at any account, as it would fail at all', async () => {
  const { issuing, queue } = open({ standing: { second: limit('NXDOMAIN', 'challengeFailed') } });
  const refused = issuing.order(withAccounts('default', 'second'), csr, post);
  await assert.rejects(refused, { code: 'challengeFailed', message: 'NXDOMAIN' });
  assert.deepEqual(queue.enqueued, []);
});

test('order() is not refused where it is only one CA that does not validate the names, as its own judgement', async () => {
  const problem = { type: 'urn:ietf:params:acme:error:caa' };
  const caa = new IssuanceError('challengeFailed', 'CAA', { problem });
  const orderAt = (standing: Record<string, IssuanceError>) =>
    open({ standing }).issuing.order(withAccounts('first', 'second'), csr, post);
  assert.ok(await orderAt({ first: caa }));
  await assert.rejects(orderAt({ first: caa, second: caa }), { code: 'challengeFailed' });
});

test('order() refuses a CSR that a CA has refused, but for what only this CA has against it', async () => {
  const refusal = (kind: string) =>
    new IssuanceError('badCsr', kind, { problem: { type: `urn:ietf:params:acme:error:${kind}` } });
  const orderAt = (standing: Record<string, IssuanceError>) =>
    open({ standing }).issuing.order(withAccounts('first', 'second'), csr, post);
  await assert.rejects(orderAt({ second: refusal('badCSR') }), { code: 'badCsr', message: 'badCSR' });
  assert.ok(await orderAt({ first: refusal('badPublicKey') }));
  const both = { first: refusal('badPublicKey'), second: refusal('badPublicKey') };
  await assert.rejects(orderAt(both), { code: 'badCsr', message: 'badPublicKey' });
});

test('order() is unavailable where the limits cannot be read', async () => {
  const { issuing } = open({ standing: { broken: new Error('ECONNREFUSED') } });
  const asked = issuing.order(withAccounts('broken'), csr, post);
  await assert.rejects(asked, { code: 'unavailable', message: 'Redis cannot be reached' });
});

test('a job that is promised to a client which left is the one that was ordered', async () => {
  const { issuing, queue } = open();
  const job = await issuing.order(web, csr, post);
  await job.answers(chain);
  assert.deepEqual(queue.promised, []);
  await job.answers(undefined);
  assert.deepEqual(queue.promised, [jobId]);
});

test('result() gives the chain and who issued it, throws how the job failed, and ends with its signal', async () => {
  const { issuing, queue } = open();
  const ended = AbortSignal.abort();
  assert.equal(await issuing.result(jobId, ended), undefined);
  const issued = { outcome: 'issued' as const, block: 'web', chain, issuedBy };
  queue.results.set(jobId, issued);
  assert.deepEqual(await issuing.result(jobId, ended), { chain, account: 'zerossl' });
  const error = { code: 'challengeFailed', detail: 'a.example: NXDOMAIN' } as const;
  queue.results.set(jobId, { outcome: 'failed', block: 'web', error });
  const failed = { code: 'challengeFailed', message: 'a.example: NXDOMAIN' };
  await assert.rejects(issuing.result(jobId, ended), failed);
});

const blocked = new Map([[publicKey, { reason: 'it is public', at: 0 }]]);
const refusal = {
  code: 'denied',
  message: 'the public key is blocked since 1970-01-01T00:00:00Z; make a new key: it is public',
};

test('findStored() refuses what is stored for a blocked key, and records no fetch of it', async () => {
  const fetches: unknown[] = [];
  const fetched = async (...fetch: unknown[]) => void fetches.push(fetch);
  const { issuing } = open({ kept: { kept: stored }, blocked, fetched });
  await assert.rejects(issuing.findStored([web], csr, asker), refusal);
  assert.deepEqual(fetches, []);
  const others = new Map([['another key', { reason: '', at: 0 }]]);
  const { issuing: unblocked } = open({ kept: { kept: stored }, blocked: others });
  assert.ok((await unblocked.findStored([web], csr, asker)).stored);
});

test('order() is refused where the key is blocked, whatever else stands at the accounts', async () => {
  const { issuing, queue } = open({
    standing: { first: limit('one'), second: limit('blocked', 'denied'), free: limit('blocked', 'denied') },
  });
  const refused = issuing.order(withAccounts('first', 'second', 'free'), csr, post);
  await assert.rejects(refused, { code: 'denied', message: 'blocked' });
  assert.deepEqual(queue.enqueued, []);
});

test('order() asks of the CSR and its key beside the names, and its job has the key', async () => {
  const { issuing, queue, asked } = open();
  await issuing.order(web, csr, post);
  assert.deepEqual(
    [asked, queue.enqueued[0]?.publicKey],
    [[[identifiers, { block: 'web', proof: 'http:http-01' }, csr.digest, publicKey]], publicKey],
  );
});

test('order() has the queue look for what may stand at any account of the block, and asks the same there', async () => {
  const { issuing, queue, asked } = open();
  await issuing.order(withAccounts('default', 'free'), csr, post);
  assert.equal(asked.length, 2);
  assert.deepEqual(
    queue.against,
    ['default', 'free'].map((account, at) => `${account} ${JSON.stringify(asked[at])}`),
  );
});

test('result() hands out no certificate of a key that was blocked since', async () => {
  const { issuing, queue } = open({ blocked });
  queue.results.set(jobId, { outcome: 'issued' as const, block: 'web', chain, issuedBy });
  await assert.rejects(issuing.result(jobId, AbortSignal.abort()), refusal);
});
