import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readExisting } from '../../../../services/cli/init/existing.ts';
import { renderIni, toSections } from '../../../../services/cli/init/main-ini.ts';
import { tempDir } from '../../../support/temp-dir.ts';

test('a file that init wrote answers the questions as they were answered', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'main.ini');
  const place = { kind: 'here', file, data: dir.path } as const;
  const sections = toSections(
    {
      contact: 'mailto:admin@example.org',
      ca: { directory: 'https://one.example/dir' },
      names: ['example.org', '*.example.org'],
      proof: { kind: 'tls-alpn', port: 8443 },
      clients: [
        { kind: 'this-machine' },
        { kind: 'network', cidr: '192.0.2.0/24' },
        { kind: 'key', host: 'web1.example.org' },
        { kind: 'key' },
        { kind: 'token' },
      ],
      listeners: ['192.0.2.13:1313', '127.0.0.1:1313'],
    },
    place,
    { hasIpv6: false, makeKey: () => 'A1YP67armNf3cBrecyJHdb035' },
  );
  await writeFile(file, renderIni(sections, 'check'));
  assert.deepEqual((await readExisting(file, {}))?.defaults, {
    ...{ email: 'admin@example.org', ca: 'https://one.example/dir', name: 'example.org *.example.org' },
    ...{ listen: '192.0.2.13:1313 127.0.0.1:1313', prove: 'tls-alpn', port: '8443' },
    clients: 'this-machine 192.0.2.0/24 key:web1.example.org key token',
  });
  assert.equal(await readExisting(join(dir.path, 'other.ini'), {}), undefined);
});

test('what is no file is not read, as that could last for ever', async () => {
  await using dir = await tempDir();
  const pipe = join(dir.path, 'pipe.ini');
  execFileSync('mkfifo', [pipe]);
  await assert.rejects(readExisting(pipe, {}), {
    message: `${pipe}: is there, and cannot be read: it is no file`,
  });
});
