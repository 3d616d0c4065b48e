import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareConfigs } from '../../../shared/setup/changes.ts';
import { account, auth, loadText } from './load-text.ts';

/** What it finds, of what stands beside the least configuration. */
async function find(before: string, after: string) {
  const { inForce, ...found } = await compare(account + auth + before, account + auth + after);
  return found;
}

async function compare(before: string, after: string) {
  return compareConfigs(await loadText(before), await loadText(after));
}

const program = '[verification "p"]\ntype = program\nchallenge = dns-01\ncommand = /bin/true\n';
const update = '[verification "u"]\ntype = rfc2136\ntsig-name = k\n';
const mail = '[notify "a"]\nmail = a@example.org\nfrom = q@example.org\nsmtp = smtp://mail.example.org\n';
const http = '[verification "h"]\ntype = http01\n';

test('compareConfigs() finds nothing in the same text, nor where lines only moved', async () => {
  assert.deepEqual(await find(program, `# a comment\n\n${program}`), { taken: [], needsRestart: [] });
});

for (const [what, before, after, ...taken] of [
  ['a figure', '[mgmt]\nwait = 10', '[mgmt]\nwait = 20', '[mgmt] wait'],
  ['an option that was not there', '', '[mgmt]\nmax-size = 4096', '[mgmt] max-size'],
  ['the log level', '[logging]\nlevel = info', '[logging]\nlevel = debug', '[logging] level'],
  ['a limit', '[limits]\norders = 1/h', '[limits]\norders = 2/h', '[limits] orders'],
  [
    'a storage that takes the place of another',
    '[storage "a"]\ntype = redis',
    '[storage "b"]\ntype = redis',
    ...['[storage "a"]', '[storage "b"]', '[auth "mail"] storage'],
  ],
  ['another program', program, program.replace('true', 'false'), '[verification "p"] command'],
  ['a self-check', http, `${http}self-check = off`, '[verification "h"] self-check'],
  [
    'a secret',
    `${update}tsig-secret = ${'QUJD'.repeat(8)}`,
    `${update}tsig-secret = ${'REVG'.repeat(8)}`,
    '[verification "u"] tsig-secret',
  ],
  ['a receiver of messages', mail, mail.replace('a@', 'b@'), '[notify "a"] mail'],
  ['an ACME server', '', '[acme]\nurl = https://q.example.org', '[acme] url'],
  ['a renewal', '[renewal "r"]\nshaman-profile = /p', '', '[renewal "r"]'],
] as const) {
  test(`compareConfigs() says that ${what} is taken over`, async () => {
    assert.deepEqual(await find(before, after), { taken, needsRestart: [] });
  });
}

test('compareConfigs() names the options of an auth block that changed, and none of its values', async () => {
  const before = `${account}[auth "a"]\nhmac_type = sha256\nhmac_key = one-secret-of-many\ndomain = a.example.org\n`;
  const after = before.replace('one-secret-of-many', 'another-secret-here').replace('a.ex', 'b.ex');
  const { taken, needsRestart, inForce } = await compare(before, `${after}slots = 3\n`);
  assert.deepEqual(taken, ['[auth "a"] hmac_key', '[auth "a"] domain', '[auth "a"] slots']);
  assert.deepEqual(needsRestart, []);
  assert.deepEqual(inForce.auth[0]?.hmac?.keys, ['another-secret-here']);
});

test('compareConfigs() minds the order of the auth blocks, which are tried one after the other', async () => {
  const other = auth.replace('mail', 'web');
  const { taken, inForce } = await compare(account + auth + other, account + other + auth);
  assert.deepEqual(taken, ['[auth] order of the blocks']);
  assert.deepEqual(
    inForce.auth.map(({ name }) => name),
    ['web', 'mail'],
  );
});

test('compareConfigs() minds no order of storages, verifications and accounts', async () => {
  const storages = ['[storage "a"]\ntype = redis\n', '[storage "b"]\ntype = none\n'];
  const blocks = [...storages, program, http].map(one => `${one}\n`);
  assert.deepEqual(await find(blocks.join(''), blocks.toReversed().join('')), {
    taken: [],
    needsRestart: [],
  });
});

for (const [what, before, after, ...needsRestart] of [
  ['a listener', '[mgmt]\nlistener = 127.0.0.1:1', '[mgmt]\nlistener = 127.0.0.1:2', '[mgmt] listener'],
  ['the admin listener', '', '[admin]\nlistener = 127.0.0.1:2', '[admin] listener'],
  ['a Redis', '[redis]\nurl = redis://a', '[redis]\nurl = redis://b', '[redis] url'],
  ['the prefix', '', '[redis]\nprefix = {q}', '[redis] prefix'],
  ['the secret', '', '[mgmt]\nsecret-file = /s', '[mgmt] secret-file'],
  ['where the log goes', '', '[logging]\ndestination = stdout', '[logging] destination'],
  ['the folder of the trail', '[trail]\ndir = /a', '[trail]\ndir = /b', '[trail] dir'],
  ["a verification's listener", http, `${http}listener = 127.0.0.1:2`, '[verification "h"] listener'],
  ['an account that comes', '', '[account "two"]\ndir = /two', '[account "two"]'],
  ['an account that goes', '[account "two"]\ndir = /two', '', '[account "two"]'],
] as const) {
  test(`compareConfigs() keeps the old value of what only a restart can change: ${what}`, async () => {
    const [was, is] = [await loadText(account + auth + before), await loadText(account + auth + after)];
    const { inForce, ...found } = compareConfigs(was, is);
    assert.deepEqual(found, { taken: [], needsRestart });
    assert.deepEqual(inForce, { ...was, auth: inForce.auth });
    assert.deepEqual(
      compareConfigs(inForce, is).needsRestart,
      needsRestart,
      'told until there was a restart',
    );
  });
}

test('compareConfigs() leaves an account as it was opened, but for its limits and the keys that it takes', async () => {
  const old = '[account]\ndir = /a\nacme-server = https://a/dir\n';
  const after = `${old}keys = any\ncontact = a@example.org\neab-kid = k\neab-hmac-key = aaaa\n[limits]\norders = 1/h\n`;
  const { taken, needsRestart, inForce } = await compare(old + auth, after + auth);
  assert.deepEqual(taken, ['[account] keys', '[limits] orders']);
  assert.deepEqual(
    needsRestart,
    ['contact', 'eab-kid', 'eab-hmac-key'].map(option => `[account] ${option}`),
  );
  const [open] = inForce.accounts.values();
  assert.deepEqual(open?.contact, []);
  assert.equal(open?.limits.orders?.count, 1);
});

test('compareConfigs() takes over no limits of a CA that is not asked before a restart', async () => {
  const at = (ca: string) => `[account]\ndir = /a\nacme-server = https://${ca}/directory\n${auth}`;
  const { taken, needsRestart, inForce } = await compare(
    at('ca.example.org'),
    at('acme-v02.api.letsencrypt.org'),
  );
  assert.deepEqual({ taken, needsRestart }, { taken: [], needsRestart: ['[account] acme-server'] });
  assert.deepEqual(inForce.accounts.get('default')?.limits, {});
});

for (const [what, block] of [
  ['an auth block', auth.replace('mail', 'new').concat('account = two\n')],
  ['a renewal', '[renewal "new"]\nshaman-profile = /p\naccount = two\n'],
] as const) {
  test(`compareConfigs() refuses ${what} that orders from an account that is not open`, async () => {
    const before = account + auth;
    const after = `${before}[account "two"]\ndir = /two\n${block}`;
    await assert.rejects(compare(before, after), {
      name: 'ConfigError',
      message: /^\[\w+ "new"\] account: orders from the new account "two", which needs a restart$/,
    });
  });
}

test('compareConfigs() has a verification that comes answered where listeners are open already', async () => {
  const [one, two] = ['127.0.0.1:1', '127.0.0.1:2'].map(at => `listener = ${at}\n`);
  const old = `[mgmt]\ndefault-verification = h\n${http}${one}${two}`;
  const { taken, needsRestart } = await find(old, `${old}[verification "i"]\ntype = http01\n${two}`);
  assert.deepEqual({ taken, needsRestart }, { taken: ['[verification "i"]'], needsRestart: [] });
});

test('compareConfigs() names the listener of a verification that comes, goes, or is one of another kind now', async () => {
  const verification = 'default-verification = p\n';
  const base = `[mgmt]\n${verification}${program}`;
  const needsRestart = ['[verification "h"] listener'];
  assert.deepEqual(await find(base, base + http), { taken: ['[verification "h"]'], needsRestart });
  assert.deepEqual(await find(base + http, base), { taken: [], needsRestart });
  const other = http.replace('http01', 'tlsalpn01');
  assert.deepEqual(await find(base + http, base + other), {
    taken: ['[verification "h"] type'],
    needsRestart,
  });
});

for (const [what, of, block] of [
  ['an auth block', 'auth', auth.replace('mail', 'new').concat('verification = h\n')],
  ['a renewal', 'renewal', '[renewal "new"]\nshaman-profile = /p\nverification = h\n'],
] as const) {
  test(`compareConfigs() refuses ${what} that proves names on listeners none of which is open`, async () => {
    const before = `[mgmt]\ndefault-verification = p\n${program}${account}${auth}`;
    await assert.rejects(compare(before, before + http + block), {
      name: 'ConfigError',
      message: `[${of} "new"] verification: proves names by "h", whose listeners need a restart`,
    });
    const answered = http.replace('"h"', '"o"');
    const { taken } = await compare(before + answered, before + answered + http + block);
    assert.deepEqual(taken, ['[verification "h"]', `[${of} "new"]`]);
  });
}
