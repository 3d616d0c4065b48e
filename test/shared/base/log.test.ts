import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { openLog } from '../../../shared/base/basics.ts';
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

const logger = join(import.meta.dirname, '../../../shared/base/basics.ts');
const syslog = join(import.meta.dirname, '../../../shared/base/syslog.ts');

/** Logs one line in a process of its own. */
function logElsewhere(destination: string, env: Record<string, string> = {}) {
  const script = `const { openLog } = await import(${JSON.stringify(logger)});
    const { openSyslog } = await import(${JSON.stringify(syslog)});
    const where = '${destination}';
    const destination = where === 'syslog' ? () => openSyslog('[logging] destination: syslog') : where;
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

/** The logger outlives the process that wrote to it by a moment. */
async function assertEventually(file: string, pattern: RegExp): Promise<void> {
  let text = '';
  await waitUntil(`${file} to match ${pattern}`, async () => {
    text = await readFile(file, 'utf8');
    return pattern.test(text);
  });
  assert.match(text, pattern);
}
