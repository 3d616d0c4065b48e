import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { trailKey } from '../../shared/trail/trail.ts';
import { callQuarryIn } from '../support/call-quarry.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { shownBlock } from '../support/pages.ts';
import { provision } from '../support/provision.ts';
import type { Ended } from '../support/run-quarry.ts';
import { tempDir } from '../support/temp-dir.ts';

const blocks = '[auth "hosts"]\ntoken = yes\ndomain = *.example.org\n';
const fleet = await startFleet({ roles: ['intake', 'intake', 'worker', 'responder'], blocks });
const folder = await tempDir();
await writeFile(join(folder.path, 'main.ini'), await fleet.ini());
after(async () => {
  await fleet[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});
const { curl } = await provision(['curl']);

const quarry = (...words: string[]): Promise<Ended> =>
  callQuarryIn(folder.path, ['token', ...words, 'main.ini']);

/** A token as the command line shows it. No log may hold it. */
async function addToken(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await quarry('add', ...words);
  assert.equal(code, 0, stderr);
  const token = /^quarry_[\w-]{43}$/m.exec(stdout)?.[0] ?? '';
  assert.notEqual(token, '', stdout);
  fleet.secrets.add(token);
  return token;
}

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const newCsr = async (name: string) => (await makeCsr({ names: [name] })).csrPem;

test('a host gets certificates by its token, as the page shows it, for its own names, until that is revoked', async () => {
  const token = await addToken('--names', 'web1.example.org,*.web1.example.org', 'web1');
  const script = shownBlock('shared/admission/tokens.md', 'sh', 'token.header');
  await writeFile(join(folder.path, 'www.csr'), await newCsr('web1.example.org'));
  const url = fleet.all('intake')[0]?.url ?? '';
  const wanted = script.replace('https://quarry:1313', url).replace('curl ', `'${curl}' `);
  const env = { ...process.env, TOKEN: token };
  const failure = await new Promise(done => execFile('sh', ['-c', wanted], { cwd: folder.path, env }, done));
  assert.equal(failure, null);
  assert.match(await readFile(join(folder.path, 'www.pem.new'), 'utf8'), /BEGIN CERTIFICATE/);

  const foreign = await fleet.post(await newCsr('web2.example.org'), { headers: bearer(token) });
  assert.deepEqual(
    [foreign.status, foreign.body],
    [403, 'not admitted: web2.example.org; the token or the certificate of this client is for other names\n'],
  );
  assert.equal((await quarry('revoke', 'web1')).code, 0);
  for (const to of fleet.all('intake')) {
    const { status, body } = await fleet.post(await newCsr('web1.example.org'), {
      headers: bearer(token),
      to,
    });
    assert.equal(status, 403);
    assert.match(body, /^the token was revoked at /);
  }
  const { stdout } = await quarry('list');
  assert.match(
    stdout,
    /^web1 {2}any number of times, revoked at .*\n {4}hosts: web1\.example\.org, \*\.web1/,
  );
  assert.equal((await quarry('revoke', 'web1')).code, 1);
});

test('of many CSRs that two intakes get at once with a one-time token, one gets a certificate', async () => {
  const token = await addToken('--names', 'web3.example.org', '--once', 'web3');
  const csrs = await Promise.all(Array.from({ length: 6 }, () => newCsr('web3.example.org')));
  const before = fleet.orders();
  const intakes = fleet.all('intake');
  const answers = await Promise.all(
    csrs.map((csr, at) => fleet.post(csr, { headers: bearer(token), to: intakes[at % 2] })),
  );
  const statuses = answers.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [200, 403, 403, 403, 403, 403], answers.map(({ body }) => body).join());
  assert.equal(fleet.orders() - before, 1);
  const winner = answers.findIndex(({ status }) => status === 200);
  for (const to of intakes) {
    const again = await fleet.post(csrs[winner] ?? '', { headers: bearer(token), to });
    assert.deepEqual([again.status, again.body], [200, answers[winner]?.body]);
  }
  assert.equal(fleet.orders() - before, 1);
});

test('an order that fails leaves a one-time token as it was', async () => {
  const token = await addToken('--names', '*.example.org', '--once', 'web4');
  await fleet.misdirect('lost.example.org');
  const lost = await fleet.post(await newCsr('lost.example.org'), { headers: bearer(token) });
  assert.equal(lost.status, 421, lost.body);
  const good = await fleet.post(await newCsr('web4.example.org'), { headers: bearer(token) });
  assert.equal(good.status, 200, good.body);
  const more = await fleet.post(await newCsr('web4.example.org'), { headers: bearer(token) });
  assert.equal(more.status, 403, more.body);
});

test('what an operator did with tokens is in the trail, and no token is', async () => {
  const token = await addToken('--names', 'web5.example.org', '--until', '2099-01-01', 'web5');
  await quarry('revoke', 'web5');
  const entries = JSON.stringify(await fleet.redisClient.xrange(trailKey('{quarry}'), '-', '+'));
  assert.match(entries, /token add web5 until 2099-01-01T00:00:00\.000Z/);
  assert.match(entries, /token revoke web5/);
  assert.ok(!entries.includes(token.slice(7)));
});

for (const [words, said] of [
  [['add', 'web6'], /--names takes globs/],
  [['add', '--names', 'a b', 'web6'], /--names takes globs/],
  [['add', '--names', 'web6.example.org', '--block', 'others', 'web6'], /--block is one of hosts/],
  [['add', '--names', 'web6.example.org', '--until', 'noon', 'web6'], /noon is neither a date nor a time/],
  [['add', '--names', 'web6.example.org', '--until', '2020-01-01', 'web6'], /--until is over already/],
  [['add', '--names', 'web6.example.org', 'web 6'], /the NAME of a token has 1 to 64/],
  [['revoke', '--once', 'web6'], /token revoke takes no --once/],
  [['forget', 'web6'], /token needs one of add, list, revoke/],
] as const) {
  test(`quarry token ${words.join(' ')} is refused in one line`, async () => {
    const { code, stderr } = await quarry(...words);
    assert.equal(code, 2, stderr);
    assert.match(stderr, said);
    assert.equal(stderr.trim().split('\n').length, 1);
  });
}
