import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openLiveConfig } from '../../../services/cli/live-config.ts';
import { openMetrics } from '../../../shared/base/metrics.ts';
import type { Role } from '../../../shared/base/role.ts';
import type { Config } from '../../../shared/setup/load-config.ts';
import { account, auth, loadText } from '../../shared/setup/load-text.ts';
import { keptLog } from '../../support/kept-log.ts';

const files = (mgmt: string, more = '') => `${account}[mgmt]\n${mgmt}\n${auth}${more}`;
const before = files('wait = 10');

/**
 * A process with two roles, whose files have the text `on.text`; what a role has taken over is its `waits`.
 */
async function open() {
  const { log, lines, text } = keptLog('debug');
  const live = { current: await loadText(before) };
  const on = {
    text: before,
    loads: 0,
    fault: undefined as string | undefined,
    refuses: undefined as string | undefined,
  };
  const waits: Record<string, number[]> = { intake: [], worker: [] };
  const levels: string[] = [];
  const role = (name: 'intake' | 'worker'): Role<Config> => ({
    ...{ name, notReady: () => undefined, failed: new Promise(() => {}) },
    async prepare({ mgmt }) {
      if (on.refuses === name) throw new Error(`${name} cannot work with that`);
      return () => waits[name]?.push(mgmt.wait);
    },
    async [Symbol.asyncDispose]() {},
  });
  const { prepare: _, ...unconcerned } = role('intake');
  const metrics = openMetrics();
  const config = openLiveConfig({
    ...{ live, log, metrics, roles: [role('intake'), unconcerned, role('worker')] },
    async load() {
      on.loads++;
      return loadText(on.text);
    },
    async check() {
      if (on.fault !== undefined) throw new Error(on.fault);
    },
    taken: ({ logging }) => levels.push(logging.level),
  });
  return { ...config, on, live, waits, levels, lines, text, metrics };
}

test('what has changed is taken over by all roles, and is in force', async () => {
  const { reload, on, live, waits, levels, lines, notes } = await open();
  on.text = files('wait = 20', '[logging]\nlevel = warn\n');
  assert.deepEqual(await reload(), {
    outcome: 'taken',
    taken: ['[mgmt] wait', '[logging] level'],
    needsRestart: [],
  });
  assert.deepEqual(waits, { intake: [20], worker: [20] });
  assert.deepEqual(levels, ['warn']);
  assert.equal(live.current.mgmt.wait, 20);
  assert.deepEqual(notes(), []);
  assert.ok(
    lines.some(({ msg, taken }) => msg === 'configuration taken over' && `${taken}`.includes('wait')),
  );
});

test('files that have not changed are taken over by nobody', async () => {
  const { reload, waits, lines } = await open();
  assert.equal((await reload()).outcome, 'unchanged');
  assert.deepEqual(waits, { intake: [], worker: [] });
  assert.deepEqual(
    lines.filter(({ level }) => Number(level) > 20),
    [],
  );
});

test('a file with an error leaves the old configuration in force, and the line is told until a reload works', async () => {
  const { reload, on, live, waits, lines, notes } = await open();
  on.text = files('wait = 20\nwiat = 30');
  const refused = await reload();
  assert.equal(refused.outcome, 'refused');
  const [note = ''] = notes();
  assert.match(
    note,
    /^the configuration is not taken over, the old one is in force: main\.ini:\d+: \[mgmt\] wiat: /,
  );
  assert.ok(lines.some(({ level, reason }) => level === 50 && /\[mgmt\] wiat/.test(`${reason}`)));
  assert.deepEqual([live.current.mgmt.wait, waits], [10, { intake: [], worker: [] }]);
  on.text = before;
  assert.equal((await reload()).outcome, 'unchanged');
  assert.deepEqual(notes(), []);
});

for (const [what, refuse] of [
  ['a role could not work with it', { refuses: 'worker' }],
  [
    'Redis does not allow what it needs',
    { fault: 'Redis at redis:6379 does not allow this user ~{quarry}:x' },
  ],
] as const)
  test(`no role takes over anything where ${what}`, async () => {
    const { reload, on, live, waits, levels, notes } = await open();
    Object.assign(on, { text: files('wait = 20') }, refuse);
    const reason = 'fault' in refuse ? refuse.fault : 'worker cannot work with that';
    assert.deepEqual(await reload(), { outcome: 'refused', reason });
    assert.deepEqual([waits, levels, live.current.mgmt.wait], [{ intake: [], worker: [] }, [], 10]);
    assert.equal(notes().length, 1);
    Object.assign(on, { refuses: undefined, fault: undefined });
    assert.equal((await reload()).outcome, 'taken');
    assert.deepEqual([waits.worker, notes()], [[20], []]);
  });

test('what needs a restart keeps its old value, and is named once in the log, and in a note until it is undone', async () => {
  const { reload, on, live, waits, lines, notes } = await open();
  on.text = files('wait = 20\nlistener = 127.0.0.1:9999');
  const reloaded = await reload();
  assert.deepEqual(reloaded, { outcome: 'taken', taken: ['[mgmt] wait'], needsRestart: ['[mgmt] listener'] });
  assert.deepEqual(waits.intake, [20]);
  assert.deepEqual(live.current.mgmt.listeners, (await loadText(before)).mgmt.listeners);
  await reload();
  const [note] = notes();
  assert.equal(note, 'a restart is needed for what has changed in the configuration: [mgmt] listener');
  assert.equal(lines.filter(({ needsRestart }) => needsRestart).length, 1);
  on.text = files('wait = 20');
  await reload();
  assert.deepEqual(notes(), []);
});

test('a storm of signals makes one reload after the one that runs, by the files as they are then', async () => {
  const { reload, on, waits, metrics } = await open();
  on.text = files('wait = 20');
  const first = reload();
  on.text = files('wait = 30');
  const storm = await Promise.all([first, ...Array.from({ length: 100 }, () => reload())]);
  assert.equal(
    storm.every(({ outcome }) => outcome !== 'refused'),
    true,
  );
  assert.equal(waits.intake?.at(-1), 30);
  assert.equal(on.loads, 2);
  const figures = await metrics.metrics();
  assert.match(figures, /^quarry_config_reloads_total\{outcome="taken"\} \d$/m);
});
