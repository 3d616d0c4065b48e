import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readSystemResolvers } from '../../../shared/solver/system-resolvers.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** [what the file says, the addresses that are asked] */
const written: [string, string[]][] = [
  ['nameserver 192.0.2.1\n', ['192.0.2.1']],
  [
    '# made by DHCP\nsearch example.org\n\tnameserver\t192.0.2.1  # first\nnameserver 2001:db8::1',
    ['192.0.2.1', '2001:db8::1'],
  ],
  ['nameserver fe80::1%eth0\r\noptions timeout:1 attempts:1\n', ['fe80::1%eth0']],
  ['nameserver ns.example.org\n;nameserver 192.0.2.1\nnameserver 192.0.2.2\n', ['192.0.2.2']],
  ['search example.org\n', ['127.0.0.1']],
  ['', ['127.0.0.1']],
];

test('the resolvers of the system are those that resolv.conf has now', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'resolv.conf');
  for (const [text, addresses] of written) {
    await writeFile(file, text);
    assert.deepEqual(
      readSystemResolvers(file),
      addresses.map(host => ({ host, port: 53 })),
    );
  }
  await rm(file);
  assert.ok(readSystemResolvers(file).every(({ port }) => port === 53)); // whatever this system has
});
