import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Called, countCalls } from '../support/called-files.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { inspectable } from '../support/inspector.ts';
import { root } from '../support/read-sources.ts';
import { waitUntil } from '../support/wait-until.ts';

// CONTRIBUTING.md lists the files that a CSR's trip enters; here they are counted.

const most = 30;
const key = 'a key of twenty-one bytes';
const blocks = `[auth "by key"]\nhmac_type = sha256\nhmac_key = ${key}\ndomain = *.example\n`;

async function listedFiles(): Promise<string[]> {
  const text = await readFile(join(root, 'CONTRIBUTING.md'), 'utf8');
  const [, section = ''] = /\n## A CSR's trip\n([\s\S]*?)\n## /.exec(text) ?? [];
  return [...section.matchAll(/`((?:services|shared)\/[^`]+\.ts)`/g)].map(([, path = '']) => path);
}

test(`a CSR's trip enters at most ${most} files, those that CONTRIBUTING.md lists`, async t => {
  await using fleet = await startFleet({ nodeArgs: inspectable, blocks });
  await using counts = new AsyncDisposableStack();
  const roles = [...fleet.all('intake'), ...fleet.all('worker'), ...fleet.all('responder')];
  const counting = await Promise.all(roles.map(async role => counts.use(await countCalls(role))));

  /** The files entered, with their functions, between one post and its answer. */
  async function trip(name: string): Promise<Called> {
    const { csrPem } = await makeCsr({ names: [name] });
    await Promise.all(counting.map(count => count.take()));
    const { status, body } = await fleet.post(csrPem, { hmac: { key } });
    assert.equal(status, 200, body);
    const taken = await Promise.all(counting.map(count => count.take()));
    return mergeCalled(taken);
  }

  /** The functions of loops that go on while nothing is asked for: they are no part of a trip. */
  async function background(): Promise<Called> {
    let called: Called = new Map();
    await waitUntil('the loops to have gone round', async () => {
      const taken = await Promise.all(counting.map(count => count.take()));
      called = mergeCalled([called, ...taken]);
      const looked = called.get('shared/base/health.ts')?.includes('look') ?? false;
      return looked && called.has('shared/base/outages.ts');
    });
    return called;
  }

  await trip('warm-up.example');
  const loops = await background();
  // On a slow machine the loops go round in each of the trips, and what happens once in one of them.
  const isOfTrip = (file: string, called: Called) =>
    called.get(file)?.some(name => !loops.get(file)?.includes(name)) ?? false;
  const trips = [await trip('one.example'), await trip('two.example'), await trip('three.example')];
  const [first = new Map<string, string[]>()] = trips;
  const entered = [...first.keys()].filter(file => trips.every(one => isOfTrip(file, one))).sort();
  for (const file of entered) t.diagnostic(`${file}: ${first.get(file)?.join(', ')}`);
  assert.deepEqual((await listedFiles()).sort(), entered);
  assert.ok(entered.length <= most, `${entered.length} files`);
});

function mergeCalled(all: Called[]): Called {
  const merged: Called = new Map();
  for (const [file, names] of all.flatMap(called => [...called]))
    merged.set(file, [...new Set([...(merged.get(file) ?? []), ...names])]);
  return merged;
}
