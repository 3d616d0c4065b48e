import assert from 'node:assert/strict';
import { test } from 'node:test';
import { account, auth } from '../../shared/setup/load-text.ts';
import { callQuarryWith } from '../../support/call-quarry.ts';
import { startHookReceiver } from '../../support/hook-receiver.ts';
import { headerOf, startMailServer } from '../../support/mail-server.ts';

const mail = (port: number) =>
  `[notify "post"]\nmail = ops@example.org\nfrom = quarry@example.org\nsmtp = smtp://127.0.0.1:${port}\non = account-paused\n`;

test('quarry notify test reaches every block at once, whatever it wants to hear of', async () => {
  await using receiver = await startHookReceiver();
  await using mails = await startMailServer();
  const ini = `${account}${auth}[notify "chat"]\nurl = ${receiver.url}/t0ken\n${mail(mails.port)}`;
  const { code, stdout, stderr } = await callQuarryWith(ini, ['notify', 'test', 'main.ini']);
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal(
    stdout,
    `ok      chat: unsigned posts to ${new URL(receiver.url).host}
ok      post: mail to ops@example.org over 127.0.0.1:${mails.port}\n`,
  );
  assert.equal(JSON.parse(receiver.posts[0]?.body ?? '').kind, 'test');
  assert.equal(mails.mails[0] && headerOf(mails.mails[0], 'Subject'), 'Quarry: this is a test');
});

test('quarry notify test says which block was not reached and why, and reaches the others', async () => {
  await using receiver = await startHookReceiver();
  await using mails = await startMailServer({ unknown: ['ops@example.org'] });
  receiver.answers.push(404);
  const ini = `${account}${auth}${mail(mails.port)}[notify "chat"]\nurl = ${receiver.url}/t0ken\n`;
  const { code, stdout, stderr } = await callQuarryWith(ini, ['notify', 'test', 'main.ini']);
  assert.deepEqual([code, stderr], [1, 'quarry: not reached: post, chat\n']);
  assert.match(
    stdout,
    /^FAILED {2}post: 127\.0\.0\.1:\d+: .*no such user\nFAILED {2}chat: 127\.0\.0\.1:\d+ answered 404\n$/,
  );
});

test('quarry notify test ends with one line where there is nothing to test', async () => {
  const [nobody, wrong] = await Promise.all([
    callQuarryWith(account + auth, ['notify', 'test', 'main.ini']),
    callQuarryWith(account + auth, ['notify', 'main.ini']),
  ]);
  assert.deepEqual(
    [nobody.code, nobody.stderr],
    [1, 'quarry: no [notify] block is defined, so nobody would be notified\n'],
  );
  assert.deepEqual(
    [wrong.code, wrong.stderr],
    [2, 'quarry: give what to do and a file: quarry notify test main.ini\n'],
  );
});
