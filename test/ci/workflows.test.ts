import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import manifest from '../../package.json' with { type: 'json' };

const root = join(import.meta.dirname, '../..');
const workflows = globSync('.github/workflows/*.yml', { cwd: root }).map(file => ({
  file,
  text: readFileSync(join(root, file), 'utf8'),
}));

test('every action is pinned by a commit, one and the same everywhere, with its version beside it', () => {
  const pins = new Map<string, Set<string>>();
  for (const { file, text } of workflows)
    for (const [, use = ''] of text.matchAll(/^\s*(?:- )?uses: (.*)$/gm)) {
      if (use.startsWith('./')) continue;
      const [, action = '', pin = ''] = /^([\w/-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)$/.exec(use) ?? [];
      assert.ok(action, `${file}: ${use}`);
      pins.set(action, (pins.get(action) ?? new Set()).add(pin));
    }
  assert.ok(pins.size > 0);
  for (const [action, versions] of pins) assert.equal(versions.size, 1, action);
});

test('a workflow may do nothing, and each of its jobs says what it may: no job holds a secret', () => {
  assert.ok(workflows.length >= 2);
  for (const { file, text } of workflows) {
    assert.match(text, /^permissions: \{\}$/m, file);
    const [, jobs = ''] = text.split(/^jobs:$/m);
    for (const job of jobs.split(/^ {2}(?=[\w-]+:$)/m).slice(1))
      assert.match(job, /^ {4}permissions:$/m, `${file}: ${job.split('\n')[0]}`);
    assert.doesNotMatch(text, /secrets\./, file);
  }
});

test('the programs and the scripts that workflows run are here', () => {
  const run = workflows.flatMap(({ text }) => [
    ...text.matchAll(/npm run ([\w:-]+)|(?<=[\s<])(\.ci\/[\w./-]+)/g),
  ]);
  assert.ok(run.length > 0);
  for (const [, script, program] of run)
    if (script !== undefined) assert.ok(script in manifest.scripts, `npm run ${script}`);
    else assert.ok(existsSync(join(root, `${program}`)), program);
  for (const program of ['.ci/run', '.ci/prepack', '.ci/release/build', '.ci/release/checksums'])
    assert.ok(statSync(join(root, program)).mode & 0o100, `${program} can be run`);
});
