import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { describeError } from '../../../shared/base/errors.ts';
import { deliver } from '../../../shared/notify/deliver.ts';
import type { Message } from '../../../shared/notify/message.ts';
import type { NotifyConfig } from '../../../shared/notify/notify-section.ts';
import { freePort } from '../../support/free-port.ts';
import { keptLog } from '../../support/kept-log.ts';
import { headerOf, startMailServer } from '../../support/mail-server.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { aMessage, at } from './a-message.ts';

const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const dir = stack.use(await tempDir());
const passwordFile = join(dir.path, 'password');
await writeFile(passwordFile, 's3cret pass\n');
const login = { user: 'quarry', password: { file: passwordFile } };
const { caFile } = await tlsAuthority();

type Mail = Extract<NotifyConfig, { type: 'mail' }>;

function blockOf(port: number, more: Partial<Mail> = {}): Mail {
  const smtp = { host: '127.0.0.1', port, tls: 'never' } as const;
  return {
    ...{ name: 'ops', kinds: [], type: 'mail', smtp, from: 'quarry@example.org', to: ['ops@example.org'] },
    ...more,
  };
}

const log = keptLog();
const send = (block: Mail, message: Message = aMessage) =>
  deliver(block, message, { clock: turnedClock(at), log: log.log, signal: new AbortController().signal });

const failure = (sending: Promise<void>) =>
  sending
    .then(() => assert.fail('it was delivered'), describeError)
    .then(said => {
      assert.doesNotMatch(said, /s3cret|\n/);
      return said;
    });

test('a mail says in its subject what happened, is plain text, and goes to all recipients at once', async () => {
  await using server = await startMailServer();
  await send(blockOf(server.port, { to: ['ops@example.org', 'root@example.org'] }));
  const [mail = assert.fail('no mail'), ...more] = server.mails;
  assert.deepEqual(more, []);
  assert.deepEqual([mail.from, mail.to], ['quarry@example.org', ['ops@example.org', 'root@example.org']]);
  assert.equal(headerOf(mail, 'Subject'), 'Quarry: renewal failed: www.example.org and 1 more');
  assert.match(headerOf(mail, 'Content-Type') ?? '', /^text\/plain/);
  assert.equal(headerOf(mail, 'Auto-Submitted'), 'auto-generated');
  assert.equal(Date.parse(headerOf(mail, 'Date') ?? ''), at);
  assert.match(mail.text, /\r\n\r\n.*renewal failed[\s\S]*no responder could be reached/);
});

test('the mails of one matter make up a thread, and a mail that is sent twice has the same Message-ID', async () => {
  await using server = await startMailServer();
  const block = blockOf(server.port);
  const later: Message = { ...aMessage, id: 'm1-1', detail: 'still not' };
  for (const message of [aMessage, aMessage, later, { ...aMessage, id: 'm2-0', matter: 'm2' }]) {
    await send(block, message);
  }
  const ids = server.mails.map(mail => headerOf(mail, 'Message-ID'));
  const threads = server.mails.map(mail => headerOf(mail, 'References'));
  assert.deepEqual(threads, [...Array(3).fill('<m1@example.org>'), '<m2@example.org>']);
  assert.deepEqual(
    threads,
    server.mails.map(mail => headerOf(mail, 'In-Reply-To')),
  );
  assert.match(ids[0] ?? '', /^<m1-0-\w+@example\.org>$/);
  assert.equal(ids[1], ids[0]);
  assert.equal(new Set(ids).size, 3);
});

test('names and details cannot add a header or a recipient', async () => {
  await using server = await startMailServer();
  await send(blockOf(server.port), {
    ...aMessage,
    names: ['a.example\r\nBcc: b@example.org'],
    detail: '\r\n.\r\nQUIT',
  });
  const [mail = assert.fail('no mail')] = server.mails;
  assert.equal(headerOf(mail, 'Bcc'), undefined);
  assert.deepEqual(mail.to, ['ops@example.org']);
});

for (const tls of ['always', 'offered'] as const) {
  test(`a login is shown to a server whose TLS is ${tls}, and vouched for`, async () => {
    const offers = tls === 'always' ? 'first' : 'offered';
    await using server = await startMailServer({
      tls: offers,
      login: { user: 'quarry', password: 's3cret pass' },
    });
    const block = blockOf(server.port, { login, smtp: { host: 'localhost', port: server.port, tls } });
    assert.match(await failure(send(block)), /^localhost:\d+: .*certificate/);
    assert.deepEqual(server.shown, []);
    await send({ ...block, caFile });
    const [mail = assert.fail('no mail')] = server.mails;
    assert.deepEqual([mail.secure, mail.user], [true, 'quarry']);
  });
}

test('a login is not shown to a server that does not offer TLS', async () => {
  await using server = await startMailServer({ login: { user: 'quarry', password: 's3cret pass' } });
  const smtp = { host: 'localhost', port: server.port, tls: 'offered' } as const;
  assert.match(await failure(send(blockOf(server.port, { login, smtp }))), /STARTTLS/);
  assert.deepEqual(server.shown, []);
});

test('a wrong password is told in one line without it', async () => {
  await using server = await startMailServer({ login: { user: 'quarry', password: 'another' } });
  assert.match(await failure(send(blockOf(server.port, { login }))), /^127\.0\.0\.1:\d+: .*wrong password/);
});

test('the password is told in none of the forms in which a server repeats what it was sent', async () => {
  const pass = 's3cret pass';
  const forms = ['\0quarry\0', 'quarry\0quarry\0', ''].flatMap(before =>
    (['base64', 'base64url'] as const).map(form => Buffer.from(before + pass).toString(form)),
  );
  const [plain = ''] = forms;
  for (const echo of [...forms, `(${plain})`, `x${plain}`, plain.replace(/=+$/, ''), `=${pass}=`]) {
    const answer = new Error(`no such command: AUTH PLAIN ${echo} (in this session)`);
    await using server = await startMailServer({ login: { user: 'quarry', password: 'another' }, answer });
    const said = await failure(send(blockOf(server.port, { login })));
    assert.match(said, /no such command: AUTH PLAIN \S*…\S* \(in this session\)/);
    assert.ok(!said.includes(plain.slice(0, 12)), said);
  }
});

test('a server that knows one recipient of two is told the mail for that one, and the log of the other', async () => {
  await using server = await startMailServer({ unknown: ['gone@example.org'] });
  await send(blockOf(server.port, { to: ['gone@example.org', 'ops@example.org'] }));
  assert.deepEqual(server.mails[0]?.to, ['ops@example.org']);
  assert.match(log.text(), /takes no mail for some recipients/);
  assert.match(await failure(send(blockOf(server.port, { to: ['gone@example.org'] }))), /no such user/);
});

test('a server that cannot be reached is a failure that names it', async () => {
  const port = await freePort();
  assert.match(await failure(send(blockOf(port))), new RegExp(`^127\\.0\\.0\\.1:${port}: .*ECONNREFUSED`));
});
