import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openRedis } from '../../shared/base/open-redis.ts';
import type { Store } from '../../shared/base/redis.ts';
import type { TrailEntry } from '../../shared/trail/event.ts';
import { openTrailFiles } from '../../shared/trail/files.ts';
import { openSigningKey } from '../../shared/trail/signing-key.ts';
import { quarryProgram } from '../support/quarry.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';
import type { Figures, Tell } from './benchmark.ts';
import { prefix } from './ground.ts';

const run = promisify(execFile);
const events = 1_000_000;
const batch = 10_000;
const aimSeconds = 60;
/** Milliseconds from one event to the next: a million are over eleven days. */
const pace = 1_000;
const begin = Date.parse('2026-01-01T00:00:00Z');

/** `quarry trail verify` over a million events, as a process; and what sealing them took. */
export async function benchTrailVerify(tell: Tell): Promise<Figures> {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await tempDir());
  const server = stack.use(await startRedis());
  const redis = stack.adopt(openRedis({ url: server.url }, 'patient', quietLog), redis => redis.disconnect());
  const directory = join(path, 'trail');
  const sealing = await seal({ redis, prefix }, directory, join(path, 'trail.key'), tell);
  const day = await stat(join(directory, '2026-01-02.jsonl'));

  tell(`verifying ${events} events`);
  const args = ['--import', join(import.meta.dirname, 'report-usage.mjs'), quarryProgram()];
  const startedAt = performance.now();
  const { stdout, stderr } = await run(process.execPath, [...args, 'trail', 'verify', directory]);
  const seconds = (performance.now() - startedAt) / 1_000;
  if (!/^ok {5}10\d{5} lines/m.test(stdout)) throw new Error(stdout + stderr);
  const { megabytes, cpuMs } = JSON.parse(/^usage (.*)$/m.exec(stderr)?.[1] ?? '');
  const perEvent = Math.round((day.size * pace) / 86_400_000);
  const costs = `${(cpuMs / 1_000).toFixed(1)} s of CPU, ${megabytes} MB; ${perEvent} bytes an event`;
  return {
    value: seconds,
    unit: `s to verify ${events} events`,
    beside: 'the aim',
    besideValue: aimSeconds,
    note: `${costs}; sealed in ${sealing.toFixed(1)} s, which others' work may prolong`,
  };
}

/** @returns seconds */
async function seal(store: Store, directory: string, keyFile: string, tell: Tell): Promise<number> {
  const clock = { now: () => begin, sleep: async () => {} };
  const key = await openSigningKey(keyFile);
  const startedAt = performance.now();
  await using files = await openTrailFiles({ directory, key, keep: 36_500, store, clock, log: quietLog });
  for (let from = 0; from < events; from += batch) {
    if (from % 250_000 === 0) tell(`${from} events are sealed`);
    await files.take(
      Array.from({ length: batch }, (_, at) => toEntry(from + at)),
      '0-0',
    );
  }
  return (performance.now() - startedAt) / 1_000;
}

function toEntry(number: number): TrailEntry {
  const at = begin + number * pace;
  const fingerprint = number.toString(16).padStart(64, '0');
  const who = { block: 'web', by: 'hmac key 1', client: '192.0.2.1', account: 'default' };
  const names = [`host-${number}.example.org`];
  const request = '3f2f3c1e-7f0a-4d51-9a53-0d0a4b8c1f77';
  const what = { names, ...who, serial: fingerprint.slice(28), fingerprint, request };
  const event = { at, event: 'handed-out' as const, ...what };
  return { id: `${at}-0`, part: 0, event, text: '', leaf: undefined };
}
