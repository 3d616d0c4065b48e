import assert from 'node:assert/strict';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openServiceManager, takeNotifyVariables } from '../../../services/cli/service-manager.ts';
import { systemClock } from '../../../shared/base/basics.ts';
import { findCommand } from '../../support/find-command.ts';
import { keptLog } from '../../support/kept-log.ts';
import { startNotifySocket } from '../../support/notify-socket.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('what systemd says is taken out of the environment, so that no child hears of it', () => {
  const env = { NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7', HOME: '/' };
  assert.deepEqual(takeNotifyVariables(env, 7), { socket: '/run/notify', watchdog: 30_000 });
  assert.deepEqual(env, { HOME: '/' });
});

test('a watchdog of another process, and a socket of another kind, are none of ours', () => {
  const watchdog = { WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' };
  const variables = takeNotifyVariables({ NOTIFY_SOCKET: '@quarry', ...watchdog }, 7);
  assert.deepEqual(variables, { socket: '@quarry', watchdog: undefined });
  assert.equal(takeNotifyVariables({ NOTIFY_SOCKET: 'vsock:2:1234' }, 7), undefined);
  assert.equal(takeNotifyVariables({ WATCHDOG_USEC: '30000000' }, 7), undefined);
});

for (const [program, kind] of [
  ['systemd-notify', 'path'],
  ['perl', 'abstract'],
] as const)
  test(`systemd hears of a process by ${program}, at a socket with ${kind}`, async t => {
    const found = findCommand(program);
    if (!found || !findCommand('python3')) return t.skip(`there is no ${program}, or no python3`);
    await using dir = await tempDir();
    await symlink(found, join(dir.path, program));
    await using socket = await startNotifySocket(kind);
    const log = keptLog();
    const variables = { socket: socket.address, watchdog: undefined };
    using manager = openServiceManager(variables, { path: dir.path, clock: systemClock, log: log.log });
    let ready = false;
    manager.follow(async () => ({ ready, lines: ready ? ['ready', 'a note'] : ['worker: starting'] }));
    await waitUntil('a first word', () => socket.told().length > 0);
    assert.deepEqual(socket.told(), [['EXTEND_TIMEOUT_USEC=60000000', 'STATUS=worker: starting']]);
    ready = true;
    const came = (line: string) => socket.told().some(lines => lines.includes(line));
    await waitUntil('it to be ready', () => came('READY=1'));
    manager.stopping();
    await waitUntil('its last word', () => came('STOPPING=1'));
    assert.deepEqual(socket.told().slice(1), [
      ['READY=1', 'STATUS=ready; a note'],
      ['STOPPING=1', 'STATUS=stopping'],
    ]);
    assert.deepEqual(log.lines, []);
  });

test('a socket that nobody reads, or no program that writes to it, is told of once', async () => {
  await using dir = await tempDir();
  const log = keptLog();
  const variables = { socket: join(dir.path, 'nobody'), watchdog: undefined };
  const parts = { path: process.env.PATH ?? '', clock: systemClock, log: log.log };
  using manager = openServiceManager(variables, parts);
  using mute = openServiceManager(variables, { ...parts, path: dir.path });
  let done = 0;
  await manager.whileReloading(async () => (done += 1));
  await mute.whileReloading(async () => (done += 1));
  assert.equal(done, 2);
  manager.stopping();
  manager.stopping();
  await waitUntil('it to be logged', () => log.lines.length > 1);
  assert.match(log.text(), /systemd cannot be told anything: neither systemd-notify nor perl is installed/);
  assert.equal(log.lines.length, 2);
});
