import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseEntry } from '../../shared/trail/event.ts';
import { callQuarryIn } from '../support/call-quarry.ts';
import { makeCsr } from '../support/csr.ts';
import { type FleetRole, type RoleProcess, startFleet } from '../support/fleet.ts';
import { waitUntil } from '../support/wait-until.ts';

// A fleet of one process for each role, with the least rights in Redis, whose files change while it runs.

const roles = ['intake', 'worker', 'responder', 'scheduler'] as const;
const fleet = await startFleet({ roles: [...roles] });
after(() => fleet[Symbol.asyncDispose]());
const of = (role: FleetRole): RoleProcess => fleet.all(role)[0] ?? assert.fail(`a ${role} runs`);

const fileOf = (role: FleetRole) => join(of(role).folder, 'main.ini');

async function change(role: FleetRole, toNew: (text: string) => string): Promise<void> {
  const text = await readFile(fileOf(role), 'utf8');
  assert.notEqual(toNew(text), text);
  await writeFile(fileOf(role), toNew(text));
}

/** Changes a process's file, and has it taken over by a signal. */
async function reload(role: FleetRole, toNew: (text: string) => string): Promise<void> {
  const count = () =>
    of(role)
      .log()
      .filter(({ msg }) => msg === 'configuration taken over').length;
  const before = count();
  await change(role, toNew);
  process.kill(of(role).pid, 'SIGHUP');
  await waitUntil(`the ${role} to take over its file`, () => count() > before);
}

async function post(name: string) {
  const { csrPem } = await makeCsr({ names: [name] });
  return fleet.post(csrPem);
}

const readyz = async (role: FleetRole) => {
  const answer = await fetch(`${of(role).adminUrl}/readyz`);
  return { status: answer.status, text: await answer.text() };
};

const quarryReload = () => callQuarryIn(of('intake').folder, ['reload', 'main.ini']);

test('an ACME server comes, moves and goes with its section, while the process runs', async () => {
  const directory = async (path: string) => {
    const { status, headers, text } = await fetch(of('intake').url + path).then(async answer => ({
      ...{ status: answer.status, headers: answer.headers, text: await answer.text() },
    }));
    const isProblem = headers.get('Content-Type')?.startsWith('application/problem+json');
    return status === 200 ? JSON.parse(text).newNonce : `${status}${isProblem ? ' problem' : ''}`;
  };
  const base = 'https://quarry.example.org';
  assert.equal(await directory('/acme/directory'), '404');
  await reload('intake', text => `[acme]\nurl = ${base}/acme\n${text}`);
  assert.equal(await directory('/acme/directory'), `${base}/acme/new-nonce`);
  await reload('intake', text => text.replace(`${base}/acme`, `${base}/pki`));
  assert.equal(await directory('/acme/directory'), '404');
  assert.equal(await directory('/pki/directory'), `${base}/pki/new-nonce`);
  assert.equal(await directory('/pki/none'), '404 problem');
  await reload('intake', text => text.replace(/^\[acme\]\nurl = .*\n/, ''));
  assert.equal(await directory('/pki/directory'), '404');
});

test('quarry reload has each process take over its own files, and says a line of each', async () => {
  for (const role of roles) await change(role, text => text.replace('wait = 240', 'wait = 230'));
  const { code, stdout, stderr } = await quarryReload();
  assert.equal(code, 0, stderr);
  const lines = stdout.trim().split('\n');
  const who = (role: FleetRole) => `${role} \\(\\S+, pid ${of(role).pid}\\)`;
  for (const [at, role] of ['intake', 'scheduler', 'worker'].entries()) {
    // Each has an admin listener of its own.
    const differs = role === 'intake' ? '' : '; its files differ from these';
    const line = new RegExp(`^${who(role as FleetRole)}: taken over: \\[mgmt\\] wait${differs}$`);
    assert.match(lines[at] ?? '', line);
  }
  assert.match(lines[3] ?? '', /^a responder was told, and may not answer: its log and its \/readyz/);
  assert.equal(lines.length, 4);
  await waitUntil('the responder to take it over', () =>
    of('responder')
      .log()
      .some(({ msg }) => msg === 'configuration taken over'),
  );
  const entries = await fleet.redisClient.xrange('{quarry}:trail', '-', '+');
  const told = entries.flatMap(([id, fields]) => parseEntry(id, fields)).map(({ event }) => event);
  assert.ok(told.some(one => one?.event === 'operator' && one.detail === 'reload'));
});

test('quarry reload tells nobody of a file that is wrong here, and ends with 1 where a process keeps the old ones', async () => {
  const wrong = (text: string) => text.replace('wait = 230', 'wiat = 230');
  await change('intake', wrong);
  const here = await quarryReload();
  assert.deepEqual([here.code, here.stdout], [2, '']);
  assert.match(here.stderr, /^main\.ini:\d+: \[mgmt\] wiat: unknown option/);
  await change('intake', text => text.replace('wiat', 'wait'));
  await change('worker', wrong);
  const { code, stdout, stderr } = await quarryReload();
  assert.equal(code, 1);
  assert.match(stdout, /^intake .*: nothing has changed that can be taken over$/m);
  assert.match(stdout, /^worker .*: kept the old one: \S+main\.ini:\d+: \[mgmt\] wiat: unknown option/m);
  assert.match(stderr, /^quarry: 1 of 3 kept the old configuration$/m);
  const { status, text } = await readyz('worker');
  assert.equal(status, 200);
  assert.match(text, /^ready\nthe configuration is not taken over, .*\[mgmt\] wiat/);
  assert.equal((await post('kept.example')).status, 200);
  await change('worker', text => text.replace('wiat', 'wait'));
  assert.equal((await quarryReload()).code, 0);
  assert.doesNotMatch((await readyz('worker')).text, /taken over/);
});

test('what needs a restart is named, and keeps its old value beside what is taken over', async () => {
  await change('worker', text => text.replace('[worker]', '[worker]\nconcurrency = 7').replace('230', '220'));
  const { code, stdout } = await quarryReload();
  assert.equal(code, 0);
  assert.match(stdout, /^worker .*: taken over: \[mgmt\] wait; needs a restart: \[worker\] concurrency; /m);
  assert.match((await readyz('worker')).text, /^ready\na restart is needed .*: \[worker\] concurrency$/m);
  await reload('worker', text => text.replace('concurrency = 7\n', '').replace('220', '210'));
  assert.doesNotMatch((await readyz('worker')).text, /restart/);
});

test("a verification's figures are those of the moment", async () => {
  assert.equal((await post('before.example')).status, 200);
  const resolver = 'self-check = require\nself-check-resolver = 127.0.0.1:1';
  await reload('worker', text => text.replace('self-check = off', resolver));
  const { status, body } = await post('checked.example');
  assert.equal(status, 421, body);
  assert.match(body, /Quarry looked at http:\/\/checked\.example itself: no address found/);
  await reload('worker', text => text.replace(resolver, 'self-check = off'));
  assert.equal((await post('after.example')).status, 200);
});

test('a job ends by the configuration that it was taken up with, and the next one by that of the moment', async () => {
  fleet.front.hold();
  const held = post('held.example');
  await waitUntil('the CA to look for its challenge', () => fleet.front.waiting > 0);
  await reload('worker', text => text.replace('domain = *\n', 'domain = *.other.example\n'));
  const next = post('next.example');
  const { status, body } = await next;
  assert.deepEqual([status, body], [403, 'not admitted any more: next.example\n']);
  fleet.front.release();
  assert.equal((await held).status, 200);
  await reload('worker', text => text.replace('domain = *.other.example\n', 'domain = *\n'));
});

test("a CA's limits are those of the moment, and what was counted stays", async () => {
  const limits = (rate: string) => (text: string) =>
    `${text.replace(/\[limits\]\norders = .*\n/, '')}[limits]\norders = ${rate}\n`;
  await reload('worker', limits('1/3h'));
  assert.equal((await post('one.example')).status, 200);
  const late = await post('two.example');
  assert.equal(late.status, 429, late.body);
  await reload('worker', limits('500/4h'));
  assert.equal((await post('three.example')).status, 200);
});

test('a renewal that appears is run at once, and one that goes is planned no more', async () => {
  const renewal = `[renewal "web"]\nshaman-profile = ${join(fleet.dir, 'not-there')}\naccount = default\n`;
  const planned = () => fleet.redisClient.zscore('{quarry}:schedule-times', 'profile/web');
  await fleet.allow((await fleet.ini()) + renewal); // it makes orders of its own
  await reload('scheduler', text => text + renewal);
  await waitUntil('the renewal to be run', () =>
    of('scheduler')
      .log()
      .some(({ msg, task }) => msg === 'task failed' && task === 'profile/web'),
  );
  assert.notEqual(await planned(), null);
  await reload('scheduler', text => text.replace(renewal, ''));
  await waitUntil('the renewal to be forgotten', async () => (await planned()) === null);
});

test('with reload = watch a block counts once its file is written', async () => {
  const admitted = 'all = yes\ndomain = *\n';
  await reload('intake', text => text.replace('[mgmt]', '[mgmt]\nreload = watch'));
  assert.equal((await post('watched.example')).status, 200);
  await change('intake', text => text.replace(admitted, 'all = yes\ndomain = *.other.example\n'));
  await waitUntil('the block to count', async () => (await post('watched.example')).status === 403);
  assert.equal((await post('a.other.example')).status, 200);
});
