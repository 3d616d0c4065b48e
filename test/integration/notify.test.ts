import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, test } from 'node:test';
import { setInterval } from 'node:timers/promises';
import { readCsr } from '../../shared/pki/csr.ts';
import { hastenTask } from '../../shared/queue/schedule.ts';
import { type ManagedCertificate, openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { storedId } from '../../shared/renewal/stored-renewals.ts';
import { callQuarryWith } from '../support/call-quarry.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { startHookReceiver } from '../support/hook-receiver.ts';
import { headerOf, startMailServer } from '../support/mail-server.ts';
import { setRenewalInfo, windowFromNow } from '../support/set-renewal-info.ts';
import { waitUntil } from '../support/wait-until.ts';
import { about } from './faults/orders.ts';

// What goes wrong in a whole fleet, on its way to the operator.

const DAY = 24 * 3_600_000;
const key = 'A1YP67armNf3cBrecyJHdb035';

const parts = new AsyncDisposableStack();
after(() => parts.disposeAsync());
const receiver = parts.use(await startHookReceiver());
const renewals = parts.use(await startHookReceiver());
const mailServer = parts.use(await startMailServer());
const blocks = `[storage "kept"]
type = redis
renew-ahead = yes
[storage "none"]
type = none
[auth "kept"]
all = yes
domain = *.kept.example
storage = kept
[auth "all"]
all = yes
domain = *
storage = none
[notify "chat"]
on = account-paused, renewal-explained
url = ${receiver.url}/t0ken
hmac_key = ${key}
[notify "post"]
on = account-paused
mail = ops@example.org
from = quarry@example.org
smtp = smtp://127.0.0.1:${mailServer.port}
[notify "renewals"]
on = renewal-failed
url = ${renewals.url}
`;
const fleet = parts.use(
  await startFleet({
    roles: ['intake', 'worker', 'worker', 'responder', 'scheduler', 'scheduler'],
    blocks,
  }),
);
fleet.secrets.add('t0ken');

async function tryFor(...names: string[]): Promise<number> {
  const { csrPem } = await makeCsr({ names });
  return (await fleet.post(csrPem)).status;
}

/** Waits until so many messages have been posted and mailed, and nothing is under way. */
async function delivered(expected: { posts?: number; mails?: number; renewals?: number }): Promise<void> {
  const { posts = 0, mails = 0, renewals: failures = 0 } = expected;
  const settled = async () => {
    const states = ['wait', 'active', 'delayed'].map(state =>
      fleet.redisClient.exists(`{quarry}:notify:${state}`),
    );
    const busy = (await Promise.all(states)).some(exists => exists === 1);
    const here = [receiver.posts.length, mailServer.mails.length, renewals.posts.length];
    return !busy && [posts, mails, failures].every((least, index) => (here[index] ?? 0) >= least);
  };
  await waitUntil(`messages: ${JSON.stringify(expected)}`, settled);
}

test('a paused name leads to one message each way, however many posts run into it, until it is cleared and paused anew', async () => {
  const name = 'www.paused.example';
  const limit = `name/${name}@${new URL(fleet.ca.directoryUrl).host}`;
  const rule = fleet.ca.playPaused({ name });
  const statuses = await Promise.all([
    tryFor(name),
    tryFor(name, 'a.free.example'),
    tryFor(name, 'b.free.example'),
  ]);
  for (let again = 0; again < 3; again++) statuses.push(await tryFor(name));
  assert.deepEqual(new Set(statuses), new Set([429]));

  await delivered({ posts: 1, mails: 1 });
  const { posts } = receiver;
  const { mails } = mailServer;
  assert.deepEqual([posts.length, mails.length], [1, 1]);
  const [{ path, headers, body } = assert.fail('nothing was posted')] = posts;
  assert.equal(path, '/t0ken');
  const signed = createHmac('sha256', key).update(`${headers['x-quarry-timestamp']}.${body}`).digest('hex');
  assert.equal(headers['x-quarry-signature'], `sha256=${signed}`);
  const message = JSON.parse(body);
  assert.deepEqual([message.kind, message.subject, message.names], ['account-paused', limit, [name]]);
  assert.match(
    message.detail,
    /https:\/\/portal\.letsencrypt\.org\/.*quarry limits clear name\/www\.paused\.example@\S+ FILE/,
  );
  assert.equal(mails[0] && headerOf(mails[0], 'Subject'), `Quarry: account paused: ${name}`);

  const ini = await fleet.ini();
  /** On a busy machine the command may not reach Redis in its time, and says so. */
  const clear = () =>
    waitUntil('the limit to be cleared', async () => {
      const { code, stderr } = await callQuarryWith(ini, ['limits', 'clear', limit, 'main.ini']);
      assert.match(stderr, /^(quarry: .*(cannot be reached|timed out).*\n)?$/);
      return code === 0;
    });
  await clear();
  assert.equal(await tryFor(name), 429, 'the CA was asked too early, and pauses anew');
  await delivered({ posts: 2, mails: 2 });
  assert.deepEqual([posts.length, mails.length], [2, 2]);
  const matters = posts.map(post => JSON.parse(post.body).matter);
  assert.equal(new Set(matters).size, 2, 'another matter');

  rule.remove();
  await clear();
  assert.equal(await tryFor(name), 200);
});

/** Has the scheduler look at a certificate every second, where it would take its time. */
function hurry(id: string): AsyncDisposable {
  const stopped = new AbortController();
  const hurrying = (async () => {
    for await (const _ of setInterval(1_000, undefined, { signal: stopped.signal })) {
      await fleet.redisClient.zadd('{quarry}:renewals:due', 'XX', 0, id);
      await hastenTask({ redis: fleet.redisClient, prefix: '{quarry}' }, 'renew', Date.now());
    }
  })().catch(() => {});
  return {
    async [Symbol.asyncDispose]() {
      stopped.abort();
      await hurrying;
    },
  };
}

test('a renewal that fails again and again is told once, and anew after one that did not; so is where the CA explains it', async () => {
  const name = 'www.kept.example';
  const index = openRenewalIndex({ redis: fleet.redisClient, prefix: '{quarry}' });
  const { csrPem } = await makeCsr({ names: [name] });
  const { status, body: chain } = await fleet.post(csrPem);
  assert.equal(status, 200);
  const id = storedId('kept', readCsr(Buffer.from(csrPem)));
  const managed = async () => (await index.read([id]))[0];
  await using _hurry = hurry(id);
  /** Has it renewed now, again and again. */
  const renewUntil = async (what: string, reached: (one: ManagedCertificate) => boolean) =>
    await waitUntil(what, async () => {
      const one = await managed();
      // A look at it may overwrite that.
      if (one && !one.forced && !one.job && !reached(one)) await index.force(id, 0);
      return one !== undefined && reached(one);
    });
  const failures = (least: number) => (one: ManagedCertificate) => (one.failures?.count ?? 0) >= least;
  await setRenewalInfo(fleet.pebble, chain, windowFromNow(DAY, 2 * DAY, 'https://ca.example/incident'));
  const posted = receiver.posts.length;
  await waitUntil('it to be managed', async () => (await managed()) !== undefined);

  const problem = { type: 'rejectedIdentifier', detail: 'the policy forbids it' };
  const refuse = () =>
    fleet.ca.rule({ kind: 'newOrder', when: about(name), do: { answer: { status: 403, problem } } });
  const refusal = refuse();
  for (let attempt = 1; attempt <= 2; attempt++) {
    await renewUntil(`failure ${attempt}`, failures(attempt));
  }
  await delivered({ posts: posted + 1, renewals: 1 });
  assert.deepEqual([renewals.posts.length, receiver.posts.length], [1, posted + 1]);
  const message = JSON.parse(renewals.posts[0]?.body ?? '');
  assert.deepEqual([message.subject, message.names, message.title], [id, [name], `renewal failed: ${name}`]);
  assert.match(message.detail, /the policy forbids it/);
  const explained = JSON.parse(receiver.posts[posted]?.body ?? '');
  assert.deepEqual([explained.kind, explained.subject], ['renewal-explained', 'https://ca.example/incident']);

  refusal.remove();
  const before = (await managed())?.certificate;
  await renewUntil('the successor', ({ certificate }) => certificate !== before);
  refuse();
  await renewUntil('another failure', failures(1));
  await delivered({ renewals: 2 });
  const matters = renewals.posts.map(({ body }) => JSON.parse(body).matter);
  assert.equal(new Set(matters).size, 2, 'another matter');
});
