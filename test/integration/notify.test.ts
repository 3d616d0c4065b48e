import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, test } from 'node:test';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { startHookReceiver } from '../support/hook-receiver.ts';
import { headerOf, startMailServer } from '../support/mail-server.ts';
import { runQuarry } from '../support/run-quarry.ts';
import { waitUntil } from '../support/wait-until.ts';

// A pause of Let's Encrypt's, from a client's post to the operator's mailbox, through a whole fleet.

const LONG = 60_000;
const key = 'A1YP67armNf3cBrecyJHdb035';

const parts = new AsyncDisposableStack();
after(() => parts.disposeAsync());
const receiver = parts.use(await startHookReceiver());
const mailServer = parts.use(await startMailServer());
const blocks = `[auth "all"]
all = yes
domain = *
[notify "chat"]
url = ${receiver.url}/t0ken
hmac_key = ${key}
[notify "post"]
on = account-paused
mail = ops@example.org
from = quarry@example.org
smtp = smtp://127.0.0.1:${mailServer.port}
[notify "others"]
on = renewal-failed
url = ${receiver.url}/others
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

/** Messages that were posted and mailed, once both are there and nothing is under way. */
async function delivered(count: number) {
  await waitUntil(
    `${count} messages each way`,
    async () => {
      const jobs = await Promise.all(
        ['wait', 'active', 'delayed'].map(state => fleet.redisClient.exists(`{quarry}:notify:${state}`)),
      );
      const rest = jobs.reduce((sum, one) => sum + one, 0);
      return rest === 0 && receiver.posts.length >= count && mailServer.mails.length >= count;
    },
    LONG,
  );
  return { posts: receiver.posts, mails: mailServer.mails };
}

test('a paused name leads to one message each way, however many posts run into it, until it is cleared and paused anew', async () => {
  const name = 'www.paused.example';
  const limit = `name/${name}`;
  const rule = fleet.ca.playPaused({ name });
  const statuses = await Promise.all([tryFor(name), tryFor(name, 'a.free.example'), tryFor(name, 'b.free.example')]);
  for (let again = 0; again < 3; again++) statuses.push(await tryFor(name));
  assert.deepEqual(new Set(statuses), new Set([429]));

  const { posts, mails } = await delivered(1);
  assert.deepEqual([posts.length, mails.length], [1, 1]);
  const [{ path, headers, body } = assert.fail('nothing was posted')] = posts;
  assert.equal(path, '/t0ken');
  const signed = createHmac('sha256', key).update(`${headers['x-quarry-timestamp']}.${body}`).digest('hex');
  assert.equal(headers['x-quarry-signature'], `sha256=${signed}`);
  const message = JSON.parse(body);
  assert.deepEqual([message.kind, message.subject, message.names], ['account-paused', limit, [name]]);
  assert.match(
    message.detail,
    /https:\/\/portal\.letsencrypt\.org\/.*quarry limits clear name\/www\.paused\.example FILE/,
  );
  assert.equal(mails[0] && headerOf(mails[0], 'Subject'), `Quarry: account paused: ${name}`);

  const cleared = await runQuarry(['limits', 'clear', limit, 'main.ini'], await fleet.ini());
  assert.equal(cleared.code, 0, cleared.stderr);
  assert.equal(await tryFor(name), 429, 'the CA was asked too early, and pauses anew');
  const again = await delivered(2);
  assert.deepEqual([again.posts.length, again.mails.length], [2, 2]);
  const matters = again.posts.map(post => JSON.parse(post.body).matter);
  assert.equal(new Set(matters).size, 2, 'another matter');

  rule.remove();
  await runQuarry(['limits', 'clear', limit, 'main.ini'], await fleet.ini());
  assert.equal(await tryFor(name), 200);
});
