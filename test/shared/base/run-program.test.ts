import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { runProgram, whyNotRunnable } from '../../../shared/base/run-program.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { waitUntil } from '../../support/wait-until.ts';

const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const { signal } = new AbortController();
const minute = 60_000;

let scripts = 0;

async function script(text: string, mode = 0o700): Promise<string> {
  const path = join(dir.path, `script ${++scripts}`);
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

type Options = Partial<Parameters<typeof runProgram>[0]> & { signal?: AbortSignal };

async function run(text: string, { signal: ending = signal, ...options }: Options = {}): Promise<void> {
  const path = await script(`#!/bin/sh\n${text}\n`);
  return runProgram(
    { path, stdin: '', environment: {}, folder: dir.path, timeout: minute, ...options },
    ending,
  );
}

const read = (name: string) => readFile(join(dir.path, name), 'utf8');

async function isGone(pidFile: string): Promise<boolean> {
  const pid = Number(await read(pidFile));
  try {
    process.kill(pid, 0);
    return (await readFile(`/proc/${pid}/stat`, 'utf8')).includes(') Z ');
  } catch {
    return true;
  }
}

test('runProgram() hands over standard input and a bare environment, in the folder that it is told', async () => {
  process.env.QUARRY_SECRET = 'of the server';
  await run('cat >in; env >env; pwd >where', {
    stdin: 'a\nb c\n',
    environment: { QUARRY_IDENTIFIER: '*.example.org' },
  });
  assert.equal(await read('in'), 'a\nb c\n');
  assert.equal(await read('where'), `${dir.path}\n`);
  const names = (await read('env')).split('\n').map(line => line.split('=')[0]);
  assert.deepEqual(new Set(names), new Set(['PATH', 'PWD', 'QUARRY_IDENTIFIER', '']));
});

test('runProgram() takes a program that does not read its input, and drops its output', async () => {
  await run('exec 0<&-; head -c 1000000 /dev/zero', { stdin: 'x'.repeat(1_000_000) });
});

test('runProgram() tells the last line that a failed program wrote to standard error', async () => {
  await assert.rejects(run('echo first >&2; echo "  cannot \t\\033[31mwrite " >&2; echo >&2; exit 3'), {
    message: 'ended with exit code 3: cannot [31mwrite',
  });
  await assert.rejects(run('exit 1'), { message: 'ended with exit code 1' });
  await assert.rejects(run('kill -9 $$'), { message: 'ended with SIGKILL' });
});

test('runProgram() keeps secrets out of what it tells, and tells no endless line', async () => {
  await assert.rejects(
    run('echo "not s3cret.value but s3cret" >&2; exit 1', { secrets: ['s3cret.value', 's3cret'] }),
    {
      message: /: not … but …$/,
    },
  );
  await assert.rejects(
    run('head -c 100000 /dev/zero | tr "\\0" x >&2; exit 1'),
    ({ message }) => message.length < 500,
  );
});

test('runProgram() tells no part of a secret that a long line cuts in two', async () => {
  const long = `printf s3cret.value >&2; head -c 8186 /dev/zero | tr "\\0" x >&2; exit 1`;
  await assert.rejects(run(long, { secrets: ['s3cret.value'] }), ({ message }) => !message.includes('value'));
});

test('runProgram() ends the whole process group of a program that takes too long', async () => {
  await assert.rejects(run('sleep 600 & echo $! >late; sleep 600', { timeout: 500 }), {
    message: 'did not end within 0.5 seconds',
  });
  await waitUntil('its child to be gone', () => isGone('late'));
});

test('runProgram() kills a program that does not let itself be ended', async () => {
  await assert.rejects(
    run("trap '' TERM; echo $$ >deaf; while :; do sleep 1; done", { timeout: 500 }),
    /did not end/,
  );
  await waitUntil('it to be gone', () => isGone('deaf'));
});

test("runProgram() ends the process group when its signal fires, and rejects with the signal's reason", async () => {
  const stop = new AbortController();
  const running = run('sleep 600 & echo $! >aborted; sleep 600', { signal: stop.signal });
  running.catch(() => {});
  await waitUntil('it to run', async () => (await read('aborted')) !== '');
  const reason = new Error('the worker has stopped');
  stop.abort(reason);
  await assert.rejects(running, reason);
  await waitUntil('its child to be gone', () => isGone('aborted'));
  await assert.rejects(run('exit 0', { signal: stop.signal }), reason);
});

test('runProgram() does not wait for what a program leaves in the background', async () => {
  await run('sleep 600 & echo $! >background');
  assert.equal(await isGone('background'), false);
  process.kill(Number(await read('background')));
});

test('runProgram() says why a program does not start', async () => {
  const start = (path: string) =>
    runProgram({ path, stdin: 'x', environment: {}, folder: dir.path, timeout: minute }, signal);
  await assert.rejects(start('/nowhere'), { message: 'cannot be run: no such file or directory' });
  const plain = await script('no program', 0o600);
  await assert.rejects(start(plain), { message: 'cannot be run: permission denied' });
});

test('whyNotRunnable() looks without running it', async () => {
  assert.equal(whyNotRunnable('/nowhere'), 'no such file or directory');
  assert.equal(whyNotRunnable(dir.path), 'not a file');
  assert.equal(whyNotRunnable(await script('', 0o600)), 'permission denied');
  assert.equal(whyNotRunnable(await script('', 0o700)), undefined);
});
