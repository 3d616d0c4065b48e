import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadText } from '../shared/setup/load-text.ts';
import { root } from '../support/read-sources.ts';

const read = (file: string) => readFile(join(root, file), 'utf8');

test('the [acme] of services/main.ini is for clients of the demo, where compose.yaml publishes nginx', async () => {
  const shipped = (await read('services/main.ini')).replace(/^ca-file = .*$/m, '');
  const [, host] = /QUARRY_PORT:-([\d.:]+)\}:1313/.exec(await read('compose.yaml')) ?? [];
  const { acme } = await loadText(shipped);
  assert.equal(acme.url, `http://${host}/acme`);
});
