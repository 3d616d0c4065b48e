import { execFile } from 'node:child_process';
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { startPrivateRedis } from '../../../services/cli/private-redis.ts';
import { findServer } from '../../../services/cli/redis-process.ts';
import { runRoles } from '../../../services/cli/run-roles.ts';
import { systemClock } from '../../../shared/base/basics.ts';
import { describeError } from '../../../shared/base/errors.ts';
import { atListener, openListeners } from '../../../shared/base/listeners.ts';
import { openRedis } from '../../../shared/base/open-redis.ts';
import { lookAtRedis } from '../../../shared/setup/redis-fitness.ts';
import { callQuarry } from '../../support/call-quarry.ts';
import { systemError } from '../../support/file-system.ts';
import { findCommand } from '../../support/find-command.ts';
import { showMoments } from '../../support/first-hour.ts';
import { freePort } from '../../support/free-port.ts';
import { keptLog } from '../../support/kept-log.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { waitUntil } from '../../support/wait-until.ts';

const root = join(import.meta.dirname, '../../..');

const good = `[account]
dir = account
[auth a]
ip = 127.0.0.1
domain = *.example.org
`;

/** What `quarry check` says of a configuration. */
async function check(ini: string): Promise<string> {
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'main.ini'), ini);
  const { stderr } = await callQuarry(['check', join(dir.path, 'main.ini')]);
  return stderr.replace(`${dir.path}/`, '');
}

/** Does something as a user who is not root. */
async function asNobody<T>(act: () => Promise<T>): Promise<T> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    return await act();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

const complaint = (act: Promise<unknown>): Promise<string> =>
  act.then(
    () => 'nothing was wrong',
    error => describeError(error),
  );

/** A Redis that says of itself what a test wants. @param answers to its commands, by their names */
async function scriptRedis(t: TestContext, answers: (command: string) => string): Promise<string> {
  const server = createServer(socket => {
    socket.on('error', () => {});
    socket.on('data', data => {
      for (const [, command = ''] of data.toString().matchAll(/\*\d+\r\n\$\d+\r\n(\w+)/g))
        socket.write(answers(command.toLowerCase()));
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  return `127.0.0.1:${port}`;
}

const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`;

/** What a worker says of a Redis. */
async function faultOf(at: string, login?: { username: string; password: string }): Promise<string> {
  const url = login ? `redis://${login.username}:${login.password}@${at}` : `redis://${at}`;
  const fitness = await lookAtRedis('worker', { url }, { keys: [], channels: [] });
  return ('fault' in fitness ? fitness.fault : fitness.state).replace(at, '127.0.0.1:6379');
}

const refuseAll = (error: string) => () => `-${error}\r\n`;
const sayOf = (facts: string) => (command: string) => {
  if (command === 'hello') return `*2\r\n${bulk('server')}${bulk('redis')}`;
  return command === 'info' ? bulk(facts) : '+OK\r\n';
};

const listenAt = (option: string, host: string, port: number, server: Server = createServer()) =>
  complaint(
    openListeners([{ host, port, explicit: true }], () => server, quietLog).catch(atListener(option)),
  );

/** Programs of this machine in a folder of their own, which is then all of PATH. */
async function onlyWith(folder: string, ...names: string[]): Promise<Record<string, string>> {
  const tools = join(folder, 'tools');
  await mkdir(tools);
  for (const name of names) await symlink(findCommand(name) ?? name, join(tools, name));
  return { PATH: tools };
}

async function runProgram(program: string, args: string[], options = {}): Promise<string> {
  const { stderr } = await promisify(execFile)(program, args, options).catch(error => error);
  return stderr;
}

showMoments('Starting', {
  'the configuration is not there': async () => {
    await using dir = await tempDir();
    const { stderr } = await callQuarry(['check', join(dir.path, 'main.ini')]);
    return stderr.replaceAll(`${dir.path}/`, '');
  },
  'the folder of the configuration is empty': async () => {
    await using dir = await tempDir();
    return (await callQuarry(['check', dir.path])).stderr.replace(dir.path, 'conf.d');
  },
  "the configuration is another user's": async () => {
    await using dir = await tempDir();
    const file = join(dir.path, 'main.ini');
    await writeFile(file, good, { mode: 0 });
    const { stderr } = await asNobody(() => callQuarry(['check', file]));
    return stderr.replace(`${dir.path}/`, '');
  },
  'an option is misspelt': () => check(good.replace('domain', 'domian')),
  'a section is misspelt': () => check(`${good}[mgmnt]\n`),
  'a block would admit everyone': () => check(good.replace(/^ip.*$/m, '')),
  'half of an HMAC': () => check(good.replace(/^ip.*$/m, 'hmac_type = sha256')),
  'no file is given': async () => (await callQuarry(['check'])).stderr,
  'there is no such command': async () => (await callQuarry(['start', 'main.ini'])).stderr,
  'a command is misspelt': async () => (await callQuarry(['chek', 'main.ini'])).stderr,
  'an option of a command is misspelt': async () =>
    (await callQuarry(['check', '--prob', 'main.ini'])).stderr,
  'no redis-server is installed': () => complaint((async () => findServer('/nonexistent'))()),
  'one role, and no Redis': async () => {
    await using dir = await tempDir();
    await writeFile(join(dir.path, 'main.ini'), good);
    const files = [join(dir.path, 'main.ini')];
    const rest = { env: {}, notify: undefined, stop: new AbortController().signal, privateRedis: false };
    const hear = { onLog() {}, onReload() {}, onFailure() {} };
    return await complaint(runRoles({ files, roles: ['worker'], ...rest, ...hear }));
  },
  'Redis is not running': async t => {
    const { log, lines } = keptLog('warn');
    const port = await freePort();
    const redis = openRedis({ url: `redis://127.0.0.1:${port}` }, 'patient', log);
    t.after(() => redis.disconnect());
    await waitUntil('the log to tell of it', () => lines.length > 0);
    return `${lines[0]?.msg}: ${lines[0]?.reason}`.replace(`${port}`, '6379');
  },
  'Redis wants a password': async t =>
    faultOf(await scriptRedis(t, refuseAll('NOAUTH Authentication required.'))),
  'Redis has another password': async t => {
    const at = await scriptRedis(t, refuseAll('WRONGPASS invalid username-password pair'));
    return faultOf(at, { username: 'worker', password: 'wrong' });
  },
  'Redis may evict keys': async t =>
    faultOf(await scriptRedis(t, sayOf('redis_version:7.0.15\r\nmaxmemory_policy:allkeys-lru\r\n'))),
  'Redis is too old': async t =>
    faultOf(await scriptRedis(t, sayOf('redis_version:5.0.3\r\nmaxmemory_policy:noeviction\r\n'))),
  'a port is taken, as by a Quarry that runs already': async t => {
    const server = createServer();
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    return (await listenAt('[mgmt] listener', '127.0.0.1', port)).replaceAll(`${port}`, '1313');
  },
  'port 80, and not root': async () => {
    // What the system refuses depends on its settings.
    const server = createServer();
    const listen = () => queueMicrotask(() => server.emit('error', systemError('EACCES', 'listen')));
    return await listenAt('[verification] listener', '0.0.0.0', 80, Object.assign(server, { listen }));
  },
  'an address is not of this machine': () => listenAt('[mgmt] listener', '192.0.2.13', 1313),
  'a directory may not be made': async () => {
    await using dir = await tempDir();
    const inside = join(dir.path, 'redis');
    const parts = { path: '/nonexistent', clock: systemClock, log: quietLog };
    const said = await asNobody(() => complaint(startPrivateRedis(inside, parts)));
    return said.replace(inside, '/var/lib/quarry/redis');
  },
  'Node is too old': async () => {
    const old =
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.19.0' } })";
    const args = ['--import', `data:text/javascript,${old}`, join(root, 'services/cli/quarry.js')];
    return await runProgram(process.execPath, args);
  },
  'there is no Node': async () => {
    await using dir = await tempDir();
    const env = await onlyWith(dir.path, 'sh', 'dirname', 'readlink');
    await copyFile(join(root, 'services/cli/quarry'), join(dir.path, 'quarry'));
    return await runProgram(join(dir.path, 'quarry'), [], { env });
  },
  'a checkout is new': async () => {
    await using dir = await tempDir();
    for (const tree of ['package.json', 'services', 'shared'])
      await symlink(join(root, tree), join(dir.path, tree));
    const links = ['--preserve-symlinks', '--preserve-symlinks-main'];
    return await runProgram(process.execPath, [...links, 'services/cli/quarry.js', 'check', 'main.ini'], {
      cwd: dir.path,
    });
  },
});
