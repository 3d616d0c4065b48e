import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type FileGate, HangingError, openFileThreads } from '../../../shared/base/file-threads.ts';

/** An act that hangs until it is released; `begun` says whether it runs. */
function hang(gate: FileGate, options?: Parameters<FileGate['inTime']>[1]) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const act = { begun: false, release: resolve, signal: new AbortController().signal, ended: promise };
  const run = async (signal: AbortSignal) => {
    act.begun = true;
    act.signal = signal;
    await promise;
  };
  return Object.assign(act, { result: gate.inTime(run, options).catch((error: unknown) => error) });
}

const fast = (gate: FileGate) => gate.inTime(async () => 'done');
const useTimers = (t: TestContext) => t.mock.timers.enable({ apis: ['setTimeout'] });

test('an act that takes too long fails, as do all others at its directory until it ends', async t => {
  useTimers(t);
  const gate = openFileThreads(16).of('/nfs');
  const acts = [hang(gate), hang(gate), hang(gate), hang(gate)];
  assert.deepEqual(
    acts.map(({ begun }) => begun),
    [true, true, true, false],
  );
  t.mock.timers.tick(4_999);
  assert.equal(gate.isHanging(), false);
  t.mock.timers.tick(1);
  for (const { result } of acts) assert.ok((await result) instanceof HangingError);
  assert.equal(gate.isHanging(), true);
  assert.ok(acts[1]?.signal.aborted, 'those that run are told to write nothing any more');
  await assert.rejects(fast(gate), /^Error: the file system does not answer$/);
  for (const { release } of acts) release();
  await nextTurn();
  assert.equal(gate.isHanging(), false);
  assert.equal(await fast(gate), 'done');
  assert.equal(acts[3]?.begun, false, 'nobody waits for it any more');
});

test('a write has a limit of its own, and what is read meanwhile another', async t => {
  useTimers(t);
  const gate = openFileThreads(16).of('/nfs');
  const write = hang(gate, { limit: 10_000 });
  t.mock.timers.tick(9_999);
  assert.equal(await fast(gate), 'done');
  t.mock.timers.tick(1);
  assert.ok((await write.result) instanceof HangingError);
});

test('several directories that hang leave threads to others, and to all else', async t => {
  for (const [pool, directories] of [
    [4, 2],
    [16, 5],
    [16, 2],
    [1, 0],
  ] as const) {
    useTimers(t);
    const threads = openFileThreads(pool);
    const held: ReturnType<typeof hang>[] = [];
    for (let number = 0; number < directories; number++) {
      const gate = threads.of(`/nfs/${number}`);
      held.push(...Array.from({ length: 20 }, () => hang(gate)));
      t.mock.timers.tick(5_000);
    }
    const most = Math.max(1, pool - pool / 4);
    const holding = held.filter(({ begun }) => begun).length;
    assert.ok(holding < most || directories === 0, `${holding} of ${pool} threads are held`);
    assert.equal(await fast(threads.of('/disk')), 'done');
    t.mock.timers.reset();
  }
});

test('however many directories hang at once, not all threads are held, and others are told why', async t => {
  useTimers(t);
  const threads = openFileThreads(4);
  const held = Array.from({ length: 9 }, (_, number) => hang(threads.of(`/nfs/${number}`)));
  assert.equal(held.filter(({ begun }) => begun).length, 3);
  const waiting = threads.of('/disk').inTime(async () => 'done');
  t.mock.timers.tick(5_000);
  await assert.rejects(waiting, /^Error: other file systems that do not answer hold the threads for files$/);
  held[0]?.release();
  await nextTurn();
  assert.equal(await fast(threads.of('/disk')), 'done');
});

test('two that open the same directory share its threads', () => {
  const threads = openFileThreads(16);
  const acts = Array.from({ length: 5 }, () => hang(threads.of('/var/lib/quarry')));
  assert.equal(acts.filter(({ begun }) => begun).length, 3);
  for (const { release } of acts) release();
});

test('who is patient goes after all others, and directories take turns', async () => {
  const threads = openFileThreads(4);
  const order: string[] = [];
  const ask = (directory: string, name: string, isPatient = false) =>
    threads.of(directory).inTime(async () => void order.push(name), { isPatient });
  const first = hang(threads.of('a'));
  const others = [hang(threads.of('b')), hang(threads.of('c'))];
  const asked = [ask('a', 'patient', true), ask('a', 'urgent'), ask('d', 'other'), ask('a', 'second')];
  first.release();
  await Promise.all(asked);
  assert.deepEqual(order, ['urgent', 'other', 'second', 'patient']);
  for (const { release } of others) release();
});

test('what an act rejects with is what its caller gets', async () => {
  const gate = openFileThreads().of('/disk');
  await assert.rejects(
    gate.inTime(() => Promise.reject(new Error('EIO'))),
    /^Error: EIO$/,
  );
  assert.equal(await fast(gate), 'done');
});
