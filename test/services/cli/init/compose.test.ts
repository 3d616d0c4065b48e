import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  needCompose,
  readVariables,
  toVariables,
  writeVariables,
} from '../../../../services/cli/init/compose.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const http = { kind: 'http', port: 8080 } as const;

test('the stack takes the file and the ports that were answered', async () => {
  const ca = { directory: 'https://ca.example/dir' };
  assert.deepEqual(toVariables({ ca, proof: http, listeners: [] }, '/q/main.ini', '/q'), {
    QUARRY_CONFIG: './main.ini',
    QUARRY_PORT: '1313',
    QUARRY_HTTP_PORT: '8080',
  });
  const rooted = { ...ca, caFile: '/etc/ca.pem' };
  const dns = { kind: 'dns', server: '192.0.2.53' } as const;
  assert.deepEqual(
    toVariables({ ca: rooted, proof: dns, listeners: ['127.0.0.1:1400'] }, '/etc/q.ini', '/q'),
    {
      QUARRY_CONFIG: '/etc/q.ini',
      QUARRY_CA_FILE: '/etc/ca.pem',
      QUARRY_PORT: '127.0.0.1:1400',
    },
  );
  // Those that compose.yaml reads.
  const compose = await readFile(join(import.meta.dirname, '../../../../compose.yaml'), 'utf8');
  for (const name of ['QUARRY_CONFIG', 'QUARRY_CA_FILE', 'QUARRY_PORT', 'QUARRY_HTTP_PORT'])
    assert.ok(compose.includes(`\${${name}:-`), name);
});

test('.env keeps its other lines, and its ports are the answers of the next time', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, '.env');
  assert.deepEqual(await readVariables(dir.path), {});
  await writeFile(file, '# mine\nQUARRY_LOG=debug\nQUARRY_PORT=127.0.0.1:1313\n');
  assert.deepEqual(await readVariables(dir.path), { listen: '127.0.0.1:1313' });
  const variables = { QUARRY_CONFIG: './main.ini', QUARRY_PORT: '[::]:1313', QUARRY_HTTP_PORT: '8080' };
  await writeVariables(dir.path, variables);
  await writeVariables(dir.path, variables);
  assert.equal(
    await readFile(file, 'utf8'),
    '# mine\nQUARRY_LOG=debug\nQUARRY_CONFIG=./main.ini\nQUARRY_PORT=[::]:1313\nQUARRY_HTTP_PORT=8080\n',
  );
  assert.deepEqual(await readVariables(dir.path), { port: '8080', listen: '[::]:1313' });
});

test('without compose.yaml there is nothing to configure', async () => {
  await using dir = await tempDir();
  assert.throws(() => needCompose(dir.path), /^Error: there is no compose\.yaml in \S+: go into the folder/);
});
