import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import type { RouterContext } from '@koa/router';
import Koa from 'koa';
import { acmeAnswers } from '../../services/intake/acme/answers.ts';
import { revokeCertRoute } from '../../services/intake/acme/revoke-cert.ts';
import type { ByAccount, ByKey } from '../../services/intake/acme/signed.ts';
import type { Account } from '../../shared/acme-server/accounts.ts';
import { type ClientCertificate, openCertificates } from '../../shared/acme-server/certificates.ts';
import type { PublicJwk } from '../../shared/acme-server/jws.ts';
import { openNonces } from '../../shared/acme-server/nonces.ts';
import { openUrls } from '../../shared/acme-server/urls.ts';
import { openAdmission } from '../../shared/admission/admit.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import { toEntry } from '../../shared/inventory/entry.ts';
import { openInventory } from '../../shared/inventory/inventory.ts';
import { openInventoryWriter } from '../../shared/inventory/writer.ts';
import { describeLeaf, readCertificate, splitChain } from '../../shared/pki/certificate.ts';
import type { RevokeJobData, RevokeResult } from '../../shared/queue/revoke-queue.ts';
import { hmacBlock, loopbackBlock } from '../services/intake/open-intake.ts';
import { ecKey, makeCertificate, rsaKey } from '../shared/pki/openssl-csr.ts';
import { makeClientKey, toClientKey } from '../support/acme-jws.ts';
import { listen } from '../support/listen.ts';
import { quietLog } from '../support/quiet-log.ts';
import { testSeals } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { newStore } = await startOwnRedis();
const keyFile = ecKey();
const pem = makeCertificate({ names: 'DNS:www.example.org', key: keyFile });
const foreign = makeCertificate({ names: 'DNS:www.example.net' });
const fieldOf = (certificate: string) => new X509Certificate(certificate).raw.toString('base64url');
const jwkOf = (file: string) => toClientKey(createPrivateKey(readFileSync(file))).jwk as PublicJwk;

const account = { id: 'account-1', contacts: [], status: 'valid', created: 0, client: '127.0.0.1' };
const byAccount = { account: account as unknown as Account };
let spent = 0;
const spend = async () => void spent++;
const byKey = { key: jwkOf(keyFile), thumbprint: 'of the certificate', spend };

/** An intake that knows a request's account or key, and a worker that ends each job so. */
async function open(blocks = [hmacBlock]) {
  await using stack = new AsyncDisposableStack();
  const [store, clock] = [newStore(), turnedClock(Date.now())];
  const certificates = openCertificates(store, testSeals);
  const jobs: RevokeJobData[] = [];
  const end: { value: RevokeResult | Error | undefined } = {
    value: { outcome: 'revoked', already: false, account: 'account' },
  };
  const revokeQueue = {
    async enqueue(data: RevokeJobData) {
      if (end.value instanceof Error) throw end.value;
      jobs.push(data);
      return 'job-1';
    },
    result: async () => end.value as RevokeResult | undefined,
  };

  const request: { by: ByAccount | ByKey | undefined } = { by: undefined };
  const waiting = { clock, wait: 0, stopping: new AbortController().signal };
  const clients = { isTrustedProxy: () => false };
  const admission = openAdmission(blocks);
  const inventory = openInventory(store);
  const route = revokeCertRoute({ certificates, inventory, admission, clients, revokeQueue, waiting });
  const app = new Koa();
  const states: Record<string, unknown>[] = [];
  const urls = openUrls('https://quarry.example.org/acme');
  const shared = { urls, nonces: openNonces(store, testSeals, clock), clients };
  app.use(acmeAnswers({ ...shared, refusals: { note: async () => {} }, clock, log: quietLog }));
  app.use(async ctx => {
    states.push(ctx.state);
    ctx.state.requestId = 'request-1';
    if (request.by) await route(ctx as unknown as RouterContext, request.by);
  });
  const server = stack.use(await listen(app.callback()));

  /** As a certificate that `POST /sign` got. */
  async function inventorise(certificate: string): Promise<void> {
    const kept = { how: 'post', block: 'mail', account: 'second' } as const;
    const entry = toEntry(new X509Certificate(certificate).raw, kept);
    await openInventoryWriter(store, assert.ifError).add([{ entry, at: entry.notBefore }]);
  }

  async function keep(certificate: string, more: Partial<ClientCertificate> = {}): Promise<void> {
    const { fingerprint, names } = describeLeaf(certificate, readCertificate(certificate));
    const { notBefore, notAfter } = readCertificate(certificate);
    const issuedBy = { account: 'default', directory: 'https://ca.example/dir' };
    const own = { fingerprint, renewalId: 'a.b', chain: certificate, notBefore, notAfter, names };
    const record = { ...own, issuedBy, account: 'account-1', order: 'order-1', block: 'web', ...more };
    await store.redis.set(certificates.key(fingerprint), certificates.seal(record));
  }

  async function revoke(by: { account: Account } | Omit<ByKey, 'payload'>, payload: Record<string, unknown>) {
    request.by = 'account' in by ? { ...by, payload, text: undefined } : { ...by, payload };
    const answer = await fetch(server.url, { method: 'POST' });
    const text = await answer.text();
    const problem = answer.ok ? { type: '', detail: '' } : (JSON.parse(text) as Record<string, string>);
    return {
      ...{ status: answer.status, text, detail: problem.detail },
      kind: problem.type?.replace('urn:ietf:params:acme:error:', ''),
      retryAfter: answer.headers.get('Retry-After'),
    };
  }

  const running = stack.move();
  return {
    ...{ clock, jobs, end, states, keep, inventorise, revoke },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

type Answered = Awaited<ReturnType<Awaited<ReturnType<typeof open>>['revoke']>>;
const toRow = ({ status, kind }: Answered) => [status, kind];

suite('revokeCert', () => {
  test('has the CA revoke what the account ordered, whatever blocks there are today', async () => {
    await using opened = await open([]);
    await opened.keep(pem);
    const answer = await opened.revoke(byAccount, { certificate: fieldOf(pem), reason: 1 });
    assert.deepEqual([answer.status, answer.text], [200, '']);
    assert.deepEqual(opened.jobs, [
      {
        ...{
          certificate: splitChain(pem)[0],
          names: ['www.example.org'],
          block: 'web',
          accounts: ['default'],
        },
        ...{ by: 'client account account-1', holds: 'order', reason: 'keyCompromise' },
        ...{ client: '127.0.0.1', requestId: 'request-1' },
      },
    ]);
    assert.deepEqual([opened.states[0]?.names, opened.states[0]?.job], [['www.example.org'], 'job-1']);
  });

  test('has the CA revoke by the key of the certificate, in the block that it was ordered by', async () => {
    await using opened = await open([]);
    await opened.keep(pem, { account: 'account-2' });
    const before = spent;
    assert.equal((await opened.revoke(byKey, { certificate: fieldOf(pem) })).status, 200);
    assert.equal(spent, before + 1, 'the nonce is used');
    const [{ block, accounts, by, holds, reason } = {} as Partial<RevokeJobData>] = opened.jobs;
    assert.deepEqual([block, accounts, by, holds], ['web', ['default'], 'the key of the certificate', 'key']);
    assert.equal(reason, undefined);
  });

  test('knows the key of a certificate, of each kind', async () => {
    await using opened = await open([]);
    for (const file of [rsaKey(), ecKey('P-384'), ecKey('P-521')]) {
      const certificate = makeCertificate({ key: file });
      await opened.keep(certificate);
      const key = { key: jwkOf(file), thumbprint: '', spend };
      assert.equal((await opened.revoke(key, { certificate: fieldOf(certificate) })).status, 200);
    }
  });

  test('takes what an account could get today, whoever got it, and judges it again in the worker', async () => {
    await using opened = await open([loopbackBlock]);
    for (const more of [{ account: 'account-2' }, undefined]) {
      if (more) await opened.keep(pem, more);
      assert.equal((await opened.revoke(byAccount, { certificate: fieldOf(pem) })).status, 200);
      const { holds, block, accounts, by } = opened.jobs.at(-1) ?? ({} as Partial<RevokeJobData>);
      assert.deepEqual([holds, block, accounts], [undefined, 'loopback', ['account']]);
      assert.equal(by, 'address, client account account-1');
    }
  });

  test('refuses who has no right to it, each with the same words for what is there and what is not', async () => {
    await using opened = await open([loopbackBlock]);
    await opened.keep(foreign, { account: 'account-2' });
    const refused = [403, 'unauthorized'];
    const other = { key: makeClientKey().jwk as PublicJwk, thumbprint: '', spend };
    const before = spent;
    for (const certificate of [foreign, makeCertificate({ names: 'DNS:www.example.net' })]) {
      const answer = await opened.revoke(byAccount, { certificate: fieldOf(certificate) });
      assert.deepEqual(
        [...toRow(answer), answer.detail],
        [
          ...refused,
          'not admitted: www.example.net; add it as a domain line to an [auth] block on the server',
        ],
      );
      assert.deepEqual(toRow(await opened.revoke(other, { certificate: fieldOf(certificate) })), refused);
    }
    await opened.keep(pem);
    assert.deepEqual(toRow(await opened.revoke(other, { certificate: fieldOf(pem) })), refused);
    assert.deepEqual(opened.jobs, []);
    assert.equal(spent, before, 'no nonce is used for who is refused');
  });

  test('does not take an account for one that has proven the names, only as it may have them', async () => {
    const proving = {
      ...loopbackBlock,
      name: 'proving',
      clientProof: { types: ['address' as const], networks: [] },
    };
    for (const [blocks, row] of [
      [[proving], [403, 'unauthorized']],
      [[loopbackBlock], [200, '']],
      [
        [proving, loopbackBlock],
        [200, ''],
      ],
    ] as const) {
      await using opened = await open([...blocks]);
      await opened.keep(pem, { account: 'account-2' });
      assert.deepEqual(toRow(await opened.revoke(byAccount, { certificate: fieldOf(pem) })), row);
      assert.equal(opened.jobs.length, row[0] === 200 ? 1 : 0);
      await opened.keep(pem);
      assert.equal((await opened.revoke(byAccount, { certificate: fieldOf(pem) })).status, 200, 'its own');
    }
  });

  test('knows by its key also what POST /sign got', async () => {
    await using opened = await open([]);
    await opened.inventorise(pem);
    assert.equal((await opened.revoke(byKey, { certificate: fieldOf(pem) })).status, 200);
    const [{ block, accounts, holds } = {} as Partial<RevokeJobData>] = opened.jobs;
    assert.deepEqual([block, accounts, holds], ['mail', ['second'], 'key']);
    const twin = fieldOf(makeCertificate({ names: 'DNS:www.example.org', key: keyFile }));
    assert.deepEqual(toRow(await opened.revoke(byKey, { certificate: twin })), [404, 'malformed']);
  });

  test('makes no job of what the key of a certificate signs that Quarry has not got', async () => {
    await using opened = await open([loopbackBlock]);
    assert.deepEqual(toRow(await opened.revoke(byKey, { certificate: fieldOf(pem) })), [404, 'malformed']);
    assert.deepEqual(opened.jobs, []);
  });

  test('takes the reasons that the CAs take, as numbers, and names them where it is another one', async () => {
    await using opened = await open();
    await opened.keep(pem);
    for (const reason of [0, 1, 4, 5])
      assert.equal((await opened.revoke(byAccount, { certificate: fieldOf(pem), reason })).status, 200);
    for (const reason of [2, 3, 6, 7, 8, 11, -1, 1.5]) {
      const answer = await opened.revoke(byAccount, { certificate: fieldOf(pem), reason });
      assert.deepEqual(toRow(answer), [400, 'badRevocationReason'], String(reason));
      assert.match(answer.detail ?? '', /unspecified \(0\), keyCompromise \(1\), superseded \(4\)/);
    }
    assert.equal(opened.jobs.length, 4);
  });

  test('refuses what is no certificate, and a reason that is no number, before anybody is asked', async () => {
    await using opened = await open();
    const damaged = Buffer.from(pem.slice(0, 200)).toString('base64url');
    const bodies = [
      {},
      { certificate: 7 },
      { certificate: '' },
      { certificate: 'a b' },
      { certificate: pem },
    ];
    const wrong = [...bodies, { certificate: damaged }, { certificate: fieldOf(pem), reason: '1' }];
    for (const payload of [...wrong, { certificate: fieldOf(pem), reason: null }])
      assert.deepEqual(
        toRow(await opened.revoke(byAccount, payload)),
        [400, 'malformed'],
        `${payload.certificate}`,
      );
    assert.deepEqual(opened.jobs, []);
  });

  test('takes base64url with the padding that some clients send', async () => {
    await using opened = await open();
    await opened.keep(pem);
    const certificate = fieldOf(pem);
    const padding = '='.repeat((4 - (certificate.length % 4)) % 4);
    assert.equal((await opened.revoke(byAccount, { certificate: certificate + padding })).status, 200);
  });

  test('says alreadyRevoked, whether it is known here or the CA says so', async () => {
    await using opened = await open();
    await opened.keep(pem);
    opened.end.value = { outcome: 'revoked', already: true, account: 'account' };
    const wanted = { certificate: fieldOf(pem) };
    assert.deepEqual(toRow(await opened.revoke(byAccount, wanted)), [400, 'alreadyRevoked']);
    await opened.keep(pem, { revoked: 1 });
    for (const by of [byAccount, byKey])
      assert.deepEqual(toRow(await opened.revoke(by, wanted)), [400, 'alreadyRevoked']);
    assert.equal(opened.jobs.length, 1);
  });

  test('refuses a certificate that has ended', async () => {
    await using opened = await open();
    await opened.keep(pem);
    opened.clock.turn(91 * 24 * 3_600_000);
    const answer = await opened.revoke(byAccount, { certificate: fieldOf(pem) });
    assert.deepEqual(toRow(answer), [403, 'unauthorized']);
    assert.match(answer.detail ?? '', /has expired/);
  });

  for (const [what, end, row, retryAfter] of [
    ['is not done in time', undefined, [503, 'serverInternal'], '5'],
    ['fails while the CA is away', failed('unavailable'), [503, 'serverInternal'], '5'],
    ['is refused by the CA', failed('denied'), [403, 'unauthorized'], null],
    ['is of no account here', failed('unknown'), [404, 'malformed'], null],
    ['meets a bug', failed('internal'), [500, 'serverInternal'], null],
    [
      'cannot be asked for',
      new IssuanceError('unavailable', 'Redis cannot be reached'),
      [503, 'serverInternal'],
      '5',
    ],
  ] as const)
    test(`answers ${row.join(' ')} where the revocation ${what}`, async () => {
      await using opened = await open();
      await opened.keep(pem);
      opened.end.value = end;
      const answer = await opened.revoke(byAccount, { certificate: fieldOf(pem) });
      assert.deepEqual([...toRow(answer), answer.retryAfter], [...row, retryAfter]);
    });
});

function failed(code: 'unavailable' | 'denied' | 'unknown' | 'internal'): RevokeResult {
  return { outcome: 'failed', error: { code, detail: 'the CA refused' } };
}
