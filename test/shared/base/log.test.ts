import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { openLog } from '../../../shared/base/log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { waitUntil } from '../../support/wait-until.ts';

const run = promisify(execFile);

test('openLog() writes one JSON object a line, with pid, level and the given fields', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'logs', 'quarry.log');
  const { log } = await openLog({ level: 'info', destination: file, format: 'json' });
  log.info({ job: 'j1' }, 'certificate issued');
  log.debug('not written');
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  assert.equal(lines.length, 1);
  const { level, pid, job, msg } = JSON.parse(lines[0] ?? '');
  assert.deepEqual(
    { level, pid, job, msg },
    { level: 30, pid: process.pid, job: 'j1', msg: 'certificate issued' },
  );
});

test('openLog() writes text for people, one line an entry and without colours', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'quarry.log');
  const { log } = await openLog({ level: 'trace', destination: file, format: 'text' });
  log.child({ role: 'worker' }).warn({ reason: 'away' }, 'no account yet');
  const text = await readFile(file, 'utf8');
  assert.match(text, /^\[[^\]]+\] WARN \(\d+\): no account yet \{"role":"worker","reason":"away"\}\n$/);
});

test('openLog() goes on in a new file once a rotated one is reopened', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'quarry.log');
  const opened = await openLog({ level: 'info', destination: file, format: 'json' });
  opened.log.info('first');
  await rename(file, `${file}.1`);
  opened.log.info('second');
  opened.reopen();
  opened.log.info('third');
  assert.match(await readFile(`${file}.1`, 'utf8'), /first.*\n.*second/);
  assert.match(await readFile(file, 'utf8'), /^[^\n]*third[^\n]*\n$/);
});

test('openLog() fails where the file cannot be written', async () => {
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'file'), '');
  const destination = join(dir.path, 'file', 'quarry.log');
  await assert.rejects(openLog({ level: 'info', destination, format: 'json' }), /file/);
});

const logger = join(import.meta.dirname, '../../../shared/base/log.ts');
const syslog = join(import.meta.dirname, '../../../shared/base/syslog.ts');

/** Logs one line in a process of its own. */
function logElsewhere(destination: string, env: Record<string, string> = {}) {
  const script = `const { openLog } = await import(${JSON.stringify(logger)});
    const { openSyslog } = await import(${JSON.stringify(syslog)});
    const where = '${destination}';
    const destination = where === 'syslog' ? (toGapLine) => openSyslog('[logging] destination: syslog', toGapLine) : where;
    const { log } = await openLog({ level: 'info', destination, format: 'json' });
    log.error('a word');`;
  return run(process.execPath, ['--input-type=module', '-e', script], { env: { ...process.env, ...env } });
}

test('openLog() writes to stdout or to stderr', async () => {
  const [toStdout, toStderr] = await Promise.all([logElsewhere('stdout'), logElsewhere('stderr')]);
  assert.match(toStdout.stdout, /"msg":"a word"/);
  assert.equal(toStdout.stderr, '');
  assert.match(toStderr.stderr, /"msg":"a word"/);
});

test("openLog() gives syslog's logger each line with its priority", async () => {
  await using dir = await tempDir();
  const heard = join(dir.path, 'heard');
  await writeFile(join(dir.path, 'logger'), `#!/bin/sh\necho "$@" >> ${heard}\ncat >> ${heard}\n`);
  await chmod(join(dir.path, 'logger'), 0o755);
  await logElsewhere('syslog', { PATH: `${dir.path}:${process.env.PATH}` });
  await assertEventually(heard, /^--tag quarry --prio-prefix\n<27>\{.*"msg":"a word"\}\n$/);
});

test('openLog() says what is missing where there is no logger for syslog', async () => {
  await using dir = await tempDir();
  const failure = await logElsewhere('syslog', { PATH: dir.path }).catch(error => error);
  assert.match(failure.stderr, /\[logging\] destination: syslog needs the logger command/);
});

async function linesIn(file: string): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  return lines.map(line => JSON.parse(line));
}

const messagesIn = async (file: string) => (await linesIn(file)).map(({ msg }) => msg);

/** The logger outlives the process that wrote to it by a moment. */
async function assertEventually(file: string, pattern: RegExp): Promise<void> {
  let text = '';
  await waitUntil(`${file} to match ${pattern}`, async () => {
    text = await readFile(file, 'utf8');
    return pattern.test(text);
  });
  assert.match(text, pattern);
}

test('a level that is changed holds for child loggers that were made before', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'quarry.log');
  const opened = await openLog({ level: 'info', destination: file, format: 'json' });
  const child = opened.log.child({ role: 'worker' }).child({ job: 'j1' });
  const sayAll = (when: string) => {
    child.debug(`debug ${when}`);
    child.info(`info ${when}`);
    child.error(`error ${when}`);
  };
  sayAll('at info');
  opened.setLevel('debug');
  sayAll('at debug');
  opened.setLevel('error');
  sayAll('at error');
  opened.setLevel('silent');
  sayAll('at silent');
  const words = ['info at info', 'error at info', 'debug at debug', 'info at debug', 'error at debug'];
  assert.deepEqual(await messagesIn(file), [...words, 'error at error']);
});

test('what cannot be told loses its line, and nothing else', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'quarry.log');
  const { log, lost } = await openLog({ level: 'info', destination: file, format: 'json' });
  const untellable = {
    toJSON() {
      throw new Error('no words for this');
    },
  };
  log.info({ untellable }, 'first');
  log.info('second');
  assert.equal((await messagesIn(file)).at(-1), 'second');
  assert.ok(lost() <= 1);
});

test('openLog() keeps the old file where a new one cannot be opened, and says so', async () => {
  await using dir = await tempDir();
  const folder = join(dir.path, 'logs');
  const file = join(folder, 'quarry.log');
  const opened = await openLog({ level: 'info', destination: file, format: 'json' });
  opened.log.info('first');
  await rename(folder, `${folder}.old`);
  await writeFile(folder, 'no folder');
  opened.reopen();
  opened.log.info('second');
  const kept = join(`${folder}.old`, 'quarry.log');
  const refusal = 'the log file cannot be opened again; the old one is kept';
  assert.deepEqual(await messagesIn(kept), ['first', refusal, 'second']);
  await rm(folder);
  opened.reopen();
  opened.log.info('third');
  assert.deepEqual(await messagesIn(file), ['third']);
  assert.equal(opened.lost(), 0);
});

test('a log whose file is copied and truncated goes on at its beginning', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'quarry.log');
  const { log } = await openLog({ level: 'info', destination: file, format: 'json' });
  log.info('first');
  await truncate(file);
  log.info('second');
  assert.deepEqual(await messagesIn(file), ['second']);
});

test('lines that a full disk refuses are counted, and told of where there is room again', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'quarry.log');
  await symlink('/dev/full', file);
  const opened = await openLog({ level: 'info', destination: file, format: 'json' });
  opened.log.info('first');
  opened.log.child({ role: 'worker' }).info('second');
  assert.equal(opened.lost(), 2);
  await rm(file);
  opened.reopen();
  opened.log.info('third');
  const lines = await linesIn(file);
  assert.deepEqual(
    lines.map(({ level, msg, lost }) => ({ level, msg, lost })),
    [
      { level: 40, msg: 'log lines were lost', lost: 2 },
      { level: 30, msg: 'third', lost: undefined },
    ],
  );
});

/** Logs until lines are lost; then says so on stderr, and after a line of stdin logs once more, and ends. */
const stalling = `
  const { openLog } = await import(${JSON.stringify(join(import.meta.dirname, '../../../shared/base/log.ts'))});
  const { log, lost, end } = await openLog({ level: 'info', destination: 'stdout', format: 'json' });
  process.on('exit', end);
  let told = 0;
  while (lost() < 10) log.info({ n: ++told, filler: 'x'.repeat(1000) }, 'told');
  process.stderr.write('stalled\\n');
  process.stdin.once('data', () => {
    log.info({ n: ++told }, 'last words');
    process.stderr.write(String(told));
    process.exitCode = 3;
    process.stdin.destroy();
  });`;

test('a reader that stalls holds nobody up, and reads all but those that it is told are lost', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', stalling]);
  await once(child.stderr, 'data');
  const [read, total] = [text(child.stdout), text(child.stderr)];
  child.stdin.write('go on\n');
  await once(child, 'exit');
  assert.equal(child.exitCode, 3);
  const lines = (await read).trimEnd().split('\n');
  const told = lines.map(line => JSON.parse(line) as { n?: number; lost?: number });
  const lost = told.reduce((sum, line) => sum + (line.lost ?? 0), 0);
  const numbers = told.flatMap(({ n }) => n ?? []);
  assert.ok(lost >= 10);
  assert.equal(numbers.length + lost, Number(await total));
  assert.ok(numbers.every((n, at) => at === 0 || n > (numbers[at - 1] ?? 0)));
});

test('a process whose reader never reads again, or has gone, ends as it would', async () => {
  const ends = ['stalls', 'has gone'].map(async reader => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', stalling]);
    await once(child.stderr, 'data');
    if (reader === 'has gone') child.stdout.destroy();
    child.stdin.write('go on\n');
    await once(child, 'exit');
    child.stdout.destroy();
    return child.exitCode;
  });
  assert.deepEqual(await Promise.all(ends), [3, 3]);
});

/** Logs on a file system of 64 KB until it is full, then once more when there is room. Prints the file. */
const filling = `
  const { openLog } = await import(${JSON.stringify(logger)});
  const { readFileSync, rmSync, writeFileSync } = await import('node:fs');
  const [, dir] = process.argv;
  writeFileSync(dir + '/ballast', Buffer.alloc(40_000));
  const { log, lost } = await openLog({ level: 'info', destination: dir + '/quarry.log', format: 'json' });
  let told = 0;
  while (lost() < 5) log.info({ n: ++told, filler: 'x'.repeat(1001) }, 'told');
  rmSync(dir + '/ballast');
  log.info({ n: ++told }, 'room again');
  process.stdout.write(readFileSync(dir + '/quarry.log'));`;

test('a disk that is full tears no line apart, and has the log go on by itself when there is room', async t => {
  await using dir = await tempDir();
  const mounted = ['sh', '-c', 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"', dir.path];
  const words = ['--map-root-user', '--mount', ...mounted, process.execPath];
  const ended = await run('unshare', [...words, '--input-type=module', '-e', filling, dir.path]).catch(
    error => error,
  );
  if (/unshare|mount/.test(ended.stderr)) return t.skip('this system grants no mounts');
  const lines = (ended.stdout as string)
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));
  assert.deepEqual(
    lines.slice(-2).map(({ msg, lost }) => [msg, lost]),
    [
      ['log lines were lost', 5],
      ['room again', undefined],
    ],
  );
  const numbers = lines.flatMap(({ n }) => n ?? []);
  const first = Array.from({ length: numbers.length - 1 }, (_, index) => index + 1);
  assert.deepEqual(numbers, [...first, first.length + 6]);
});

test("syslog's logger is started again where it ends, and then tells how many lines were lost", async () => {
  await using dir = await tempDir();
  const [heard, begun] = [join(dir.path, 'heard'), join(dir.path, 'begun')];
  const dies = `[ -e ${begun} ] || { touch ${begun}; head -n 1 >${begun}; exit 1; }`;
  await writeFile(join(dir.path, 'logger'), `#!/bin/sh\n${dies}\ncat >>${heard}\n`, { mode: 0o755 });
  const script = `
    const { openLog } = await import(${JSON.stringify(logger)});
    const { openSyslog } = await import(${JSON.stringify(syslog)});
    const destination = toGapLine => openSyslog('the log', toGapLine);
    const { log } = await openLog({ level: 'info', destination, format: 'json' });
    setInterval(() => log.info('a word'), 10);`;
  const env = { ...process.env, PATH: `${dir.path}:${process.env.PATH}` };
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { env, stdio: 'ignore' });
  try {
    const isHeard = () =>
      readFile(heard, 'utf8').then(
        text => text.split('\n').length > 2,
        () => false,
      );
    await waitUntil('the logger to run again', isHeard);
  } finally {
    child.kill();
  }
  const [first = '', second = ''] = (await readFile(heard, 'utf8')).split('\n');
  assert.match(first, /^<28>\{.*"lost":\d+,"msg":"log lines were lost"\}$/);
  assert.match(second, /^<30>\{.*"msg":"a word"\}$/);
});
