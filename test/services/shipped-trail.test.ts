import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { loadText } from '../shared/setup/load-text.ts';
import { root } from '../support/read-sources.ts';
import { withTrail } from '../support/shipped-config.ts';

const read = (file: string) => readFile(join(root, file), 'utf8');
const shipped = (await read('services/main.ini')).replace(/^ca-file = .*$/m, '');
const compose = await read('compose.yaml');

/** What a service of compose.yaml mounts of a path. */
function mountOf(service: string, path: string): string | undefined {
  const [, text = ''] = new RegExp(`^  ${service}:\\n((?:(?: {4}.*)?\\n)*)`, 'm').exec(compose) ?? [];
  return new RegExp(`[\\w-]+:${path}(:ro)?(?=[\\s",])`).exec(text)?.[0];
}

test('the [trail] of services/main.ini is off as it ships, and an example that works', async () => {
  assert.equal((await loadText(shipped)).trail.dir, undefined);
  const { trail } = await loadText(withTrail(shipped));
  assert.deepEqual(trail, {
    ...{ dir: '/var/lib/quarry/trail', keyFile: '/var/lib/quarry/trail-key/trail.key', keep: 400 },
  });
});

test('in compose.yaml only schedulers write the trail, and nobody else sees the key that signs it', async () => {
  const { dir = '', keyFile = '' } = (await loadText(withTrail(shipped))).trail;
  const keys = dirname(keyFile);
  const mounts = ['intake', 'worker', 'scheduler', 'responder', 'cli'].map(service => [
    service,
    mountOf(service, dir),
    mountOf(service, keys),
  ]);
  assert.deepEqual(mounts, [
    ['intake', undefined, undefined],
    ['worker', undefined, undefined],
    ['scheduler', `trail:${dir}`, `trail-key:${keys}`],
    ['responder', undefined, undefined],
    ['cli', `trail:${dir}:ro`, undefined],
  ]);
  // A volume takes over the owner of the folder that it covers.
  const dockerfile = await read('Dockerfile');
  for (const path of [dir, keys]) assert.match(dockerfile, new RegExp(` ${path.slice('/var/lib/'.length)} `));
});
