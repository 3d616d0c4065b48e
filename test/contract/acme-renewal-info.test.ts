import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { RouterContext } from '@koa/router';
import Koa from 'koa';
import { acmeAnswers } from '../../services/intake/acme/answers.ts';
import { renewalInfoRoute } from '../../services/intake/acme/renewal-info.ts';
import { askRenewalInfo } from '../../services/worker/ask-renewal-info.ts';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import { type ClientCertificate, openCertificates } from '../../shared/acme-server/certificates.ts';
import { openKnownWindows } from '../../shared/acme-server/known-windows.ts';
import { openNonces } from '../../shared/acme-server/nonces.ts';
import { openUrls } from '../../shared/acme-server/urls.ts';
import { openSeals } from '../../shared/admission/hmac.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import { describeLeaf, readCertificate } from '../../shared/pki/certificate.ts';
import type { AcmeQueue } from '../../shared/queue/acme-queue.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import { type CaAnswer, problem, startFakeCa } from '../shared/acme/fake-ca.ts';
import { connect, never } from '../shared/acme/open-connection.ts';
import { makeCertificate } from '../shared/pki/openssl-csr.ts';
import { keptLog } from '../support/kept-log.ts';
import { listen } from '../support/listen.ts';
import { quietLog } from '../support/quiet-log.ts';
import { testSeals } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { newStore } = await startOwnRedis();
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const chain = makeCertificate({ names: 'DNS:www.example.org' });
const leaf = readCertificate(chain);
const { notBefore, notAfter } = leaf;
const { fingerprint, names } = describeLeaf(chain, leaf);
const id = renewalInfoId(chain) ?? '';
const now = notBefore + 10 * day;
const toTime = (at: number) => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
const window = { start: toTime(notBefore + 50 * day), end: toTime(notBefore + 52 * day) };
const own = { start: toTime(notBefore + 60 * day), end: toTime(notBefore + 64.5 * day) };
const said: CaAnswer = {
  body: { suggestedWindow: window, explanationURL: 'https://ca.example/why' },
  headers: { 'Retry-After': '7200' },
};

/** An intake, a CA that answers so, and a worker between them, which runs while `works` says so. */
async function open(answer: CaAnswer = said, { works = true, store = newStore() } = {}) {
  await using stack = new AsyncDisposableStack();
  const [clock, log] = [turnedClock(now), keptLog()];
  const ca = stack.use(await startFakeCa());
  ca.on('/dir', () => ({ body: { renewalInfo: `${ca.url}/info` } }));
  const answers = { value: answer };
  ca.on(`/info/${id}`, () => answers.value);
  const connection = stack.use(connect(ca.directoryUrl, clock));
  const certificates = openCertificates(store, testSeals);
  const windows = openKnownWindows(store, testSeals);
  const cas = new Map([['default', { connection, directoryUrl: ca.directoryUrl }]]);
  const worker = { works, cas };

  async function keep(more: Partial<ClientCertificate> = {}): Promise<void> {
    const issuedBy = { account: 'default', directory: ca.directoryUrl };
    const certificate = {
      ...{ fingerprint, renewalId: id, chain, account: 'account-1', order: 'order-1', block: 'web' },
      ...{ issuedBy, notBefore, notAfter, names, ...more },
    };
    await store.redis.set(certificates.key(fingerprint), certificates.seal(certificate));
    await store.redis.set(certificates.renewalKey(id), fingerprint);
  }

  const told: Parameters<Notices['notify']>[0][] = [];
  const notices = { notify: async (event: (typeof told)[number]) => void told.push(event) };
  const jobs: unknown[] = [];
  const acmeQueue: Pick<AcmeQueue, 'enqueue' | 'result'> = {
    async enqueue(data) {
      assert.equal(data.kind, 'renewal-info');
      jobs.push(data.fingerprint);
      const parts = { certificates, windows, notices, clock, log: log.log, cas: worker.cas };
      if (worker.works) await askRenewalInfo(parts, data.fingerprint, never);
      return 'job-1';
    },
    async result() {
      if (worker.works) return { outcome: 'written' };
      throw new IssuanceError('unavailable', 'a worker could not look: try again later');
    },
  };
  const waiting = { clock, wait: 60, stopping: never };
  const route = renewalInfoRoute({ certificates, windows, acmeQueue, waiting });
  const app = new Koa();
  const urls = openUrls('https://quarry.example.org/acme');
  const clients = { isTrustedProxy: () => false };
  const shared = { urls, nonces: openNonces(store, testSeals, clock), clients };
  app.use(acmeAnswers({ ...shared, refusals: { note: async () => {} }, clock, log: quietLog }));
  app.use(ctx =>
    route(Object.assign(ctx, { params: { id: ctx.path.slice(1) } }) as unknown as RouterContext),
  );
  const server = stack.use(await listen(app.callback()));

  async function get(wanted = id) {
    const response = await fetch(`${server.url}/${wanted}`);
    const body = (await response.json()) as { suggestedWindow: typeof window; explanationURL?: string };
    return { status: response.status, body, pause: Number(response.headers.get('Retry-After')) };
  }

  const running = stack.move();
  return {
    ...{ store, clock, log, ca, answers, worker, certificates, windows, keep, get, jobs, told },
    asked: () => ca.requests.filter(({ path }) => path.startsWith('/info/')).length,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

suite('renewalInfo', () => {
  test('relays what the CA says, which is asked once until it wants to be asked again', async () => {
    await using opened = await open();
    await opened.keep();
    const { status, body, pause } = await opened.get();
    assert.deepEqual(
      [status, body],
      [200, { suggestedWindow: window, explanationURL: 'https://ca.example/why' }],
    );
    assert.ok(pause >= 7_200 && pause <= 7_920, 'when the CA is asked again');
    opened.clock.turn(hour);
    const later = await opened.get();
    assert.deepEqual(later.body, body);
    assert.ok(later.pause < pause);
    assert.equal(opened.asked(), 1);

    const moved = { start: toTime(now - day), end: toTime(now - hour) };
    opened.answers.value = { body: { suggestedWindow: moved } };
    opened.clock.turn(2 * hour);
    assert.deepEqual((await opened.get()).body, { suggestedWindow: moved });
    assert.equal(opened.asked(), 2);
  });

  test('is the same at every intake, and where Redis was asked under another secret it is not there', async () => {
    const store = newStore();
    await using first = await open(said, { store });
    await first.keep();
    await first.get();
    const known = await first.windows.read(id);
    assert.deepEqual(known?.info, {
      ...{ start: notBefore + 50 * day, end: notBefore + 52 * day },
      explanationUrl: 'https://ca.example/why',
    });
    assert.equal(await openKnownWindows(store, openSeals(Buffer.from('another'))).read(id), undefined);
    await using second = await open(said, { store, works: false });
    assert.deepEqual((await second.get()).body.suggestedWindow, window);
    assert.deepEqual(second.jobs, []);
  });

  test('asks nobody about what no ACME client got here, however it is called', async () => {
    await using opened = await open();
    const ids = [
      id,
      'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE',
      'a',
      'a.b.c',
      '%2E%2E',
      'a'.repeat(3_000),
      `${id}=`,
    ];
    for (const wanted of ids) assert.equal((await opened.get(wanted)).status, 404, wanted);
    assert.deepEqual([opened.jobs, opened.ca.requests], [[], []]);
    await opened.keep();
    await opened.store.redis.set(opened.certificates.key(fingerprint), 'forged {}');
    assert.equal((await opened.get()).status, 404);
  });

  test('suggests a window by the life of the certificate where its CA has none, and looks again the next day', async () => {
    await using opened = await open();
    opened.ca.on('/dir', () => ({ body: {} }));
    await opened.keep();
    for (const after of [0, 3 * hour]) {
      opened.clock.turn(after);
      assert.deepEqual((await opened.get()).body, { suggestedWindow: own });
    }
    assert.equal(opened.jobs.length, 1);
  });

  for (const [what, more] of [
    ['is configured no more', { issuedBy: { account: 'old', directory: 'https://old.example/dir' } }],
    ['is not recorded', { issuedBy: undefined }],
  ] as const)
    test(`suggests a window by the life of a certificate whose CA ${what}`, async () => {
      await using opened = await open();
      const { issuedBy } = more;
      await opened.keep(issuedBy ? { issuedBy } : ({ issuedBy: undefined } as object));
      assert.deepEqual((await opened.get()).body, { suggestedWindow: own });
      await opened.get();
      assert.deepEqual([opened.jobs.length, opened.asked()], [1, 0]);
    });

  test('keeps to what the CA said last while the CA fails, and asks it again only after a pause', async () => {
    await using opened = await open();
    await opened.keep();
    await opened.get();
    opened.clock.turn(3 * hour);
    opened.answers.value = problem(503, 'serverInternal', 'not now');
    const { body, pause } = await opened.get();
    assert.deepEqual(body.suggestedWindow, window);
    assert.ok(pause >= 60 && pause <= 75, 'a minute, more or less');
    await opened.get();
    assert.equal(opened.asked(), 2, 'not with every question of a client');
  });

  test('answers with what it has where no worker asks in time, and wants the client back soon', async () => {
    await using opened = await open(said, { works: false });
    await opened.keep();
    assert.deepEqual(await opened.get(), { status: 200, body: { suggestedWindow: own }, pause: 300 });
    opened.worker.works = true;
    assert.deepEqual((await opened.get()).body.suggestedWindow, window);
  });

  for (const mark of ['revoked', 'reissue'] as const)
    test(`says that it is time once a certificate is marked ${mark}, without asking the CA`, async () => {
      await using opened = await open();
      await opened.keep();
      await opened.get();
      await opened.certificates.mark(fingerprint, { [mark]: opened.clock.now() });
      opened.clock.turn(day);
      const { body } = await opened.get();
      const { start, end } = body.suggestedWindow;
      assert.ok(Date.parse(start) < Date.parse(end) && Date.parse(end) < now);
      assert.equal(body.explanationURL, 'https://ca.example/why');
      assert.equal(opened.asked(), 1);
    });

  test('warns the operator of a page by which the CA explains', async () => {
    await using opened = await open();
    await opened.keep();
    await opened.get();
    const { level, msg, names: logged, explanation } = opened.log.lines[0] ?? {};
    assert.deepEqual(
      [level, msg, logged, explanation],
      [40, 'the CA explains when to renew', names, 'https://ca.example/why'],
    );
    opened.clock.turn(3 * hour);
    await opened.get();
    const events = opened.told.map(({ kind, subject }) => [kind, subject]);
    assert.deepEqual([events, opened.asked()], [[['renewal-explained', 'https://ca.example/why']], 2]);
  });
});
