import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAdminApp } from '../../../services/cli/admin-app.ts';
import { Counter, openMetrics } from '../../../shared/base/metrics.ts';
import type { Role } from '../../../shared/base/role.ts';
import { listen } from '../../support/listen.ts';

const role = (name: string, reason?: string, ...notes: string[]): Role => ({
  ...{ name, notReady: () => reason, notes: () => notes, failed: new Promise(() => {}) },
  async [Symbol.asyncDispose]() {},
});

/** Status and body of a path. */
async function ask(roles: Role[], expected: number, path: string, notes: (() => string[])[] = []) {
  await using server = await listen(createAdminApp(roles, expected, openMetrics(), notes));
  const answer = await fetch(server.url + path);
  return [answer.status, await answer.text()];
}

test('/healthz is 200 as soon as the process runs', async () => {
  assert.deepEqual(await ask([role('worker', 'no account yet')], 3, '/healthz'), [200, 'ok\n']);
});

test('/readyz is 200 once every role can do its work', async () => {
  assert.deepEqual(await ask([role('worker'), role('intake')], 2, '/readyz?verbose'), [200, 'ready\n']);
});

test('/readyz is 503 with the reasons, one a line', async () => {
  const roles = [
    role('worker', 'no account yet'),
    role('intake'),
    role('responder', 'Redis cannot be reached'),
  ];
  const reasons = 'worker: no account yet\nresponder: Redis cannot be reached\n';
  assert.deepEqual(await ask(roles, 3, '/readyz'), [503, reasons]);
  assert.deepEqual(await ask([role('responder')], 2, '/readyz'), [503, 'starting\n']);
});

test('/readyz says what else the roles note, which makes none of them unready', async () => {
  const away = 'account zerossl: cannot be reached';
  const worker = role('worker', undefined, away, 'account eab: terms not accepted');
  const { notes: _, ...intake } = role('intake');
  const notes = `worker: ${away}\nworker: account eab: terms not accepted\n`;
  assert.deepEqual(await ask([intake, worker], 2, '/readyz'), [200, `ready\n${notes}`]);
  assert.deepEqual(await ask([intake, worker, role('responder', 'starting')], 3, '/readyz'), [
    503,
    `responder: starting\n${notes}`,
  ]);
});

test('/readyz says first what is to be known of the process, as it is when somebody asks', async () => {
  let refused: string[] = [];
  const notes = [() => refused, () => ['the clock of this machine is 90 s behind that of Redis']];
  const roles = [role('worker', undefined, 'account zerossl: cannot be reached')];
  const others =
    'the clock of this machine is 90 s behind that of Redis\nworker: account zerossl: cannot be reached\n';
  assert.deepEqual(await ask(roles, 1, '/readyz', notes), [200, `ready\n${others}`]);
  refused = ['main.ini:7: [auth "web"] domian: unknown option'];
  assert.deepEqual(await ask(roles, 1, '/readyz', notes), [200, `ready\n${refused}\n${others}`]);
});

test('/readyz answers without notes that do not come, as while Redis is away', async () => {
  const late: Role = { ...role('worker', 'Redis cannot be reached'), notes: () => new Promise(() => {}) };
  assert.deepEqual(await ask([late], 1, '/readyz'), [503, 'worker: Redis cannot be reached\n']);
});

test('/metrics is the text that Prometheus reads', async () => {
  const metrics = openMetrics();
  new Counter({ name: 'quarry_test_total', help: 'x', registers: [metrics] }).inc();
  await using server = await listen(createAdminApp([], 0, metrics));
  const answer = await fetch(`${server.url}/metrics`);
  assert.match(answer.headers.get('Content-Type') ?? '', /^text\/plain; version=/);
  assert.match(await answer.text(), /^quarry_test_total 1$/m);
});

test('any other path is 404', async () => {
  assert.equal((await ask([], 0, '/'))[0], 404);
});

test('/readyz asks a role that has no reason of its own for its fault, and does not wait for it long', async () => {
  const fault = 'Redis at redis:6379 does not allow this user +xadd';
  const asked = { ...role('worker'), findFault: async () => fault };
  assert.deepEqual(await ask([asked], 1, '/readyz'), [503, `worker: ${fault}\n`]);
  const unasked = { ...role('worker', 'starting'), findFault: () => assert.fail('nobody asks') };
  assert.deepEqual(await ask([unasked], 1, '/readyz'), [503, 'worker: starting\n']);
  const late = { ...role('worker'), findFault: () => new Promise<undefined>(() => {}) };
  assert.deepEqual(await ask([late], 1, '/readyz'), [200, 'ready\n']);
});
