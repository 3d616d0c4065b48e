import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { splitWords } from '../../../services/cli/command.ts';
import { choose, type Wanted } from '../../../services/cli/reissue.ts';
import type { ManagedCertificate } from '../../../shared/renewal/renewal-index.ts';
import { callQuarry } from '../../support/call-quarry.ts';
import { tempDir } from '../../support/temp-dir.ts';

const day = 24 * 3_600_000;
const now = 100 * day;

test('splitWords() takes what is a file, or is called like one, or a folder of them for a file, and all else for a name', async () => {
  await using dir = await tempDir();
  await mkdir(join(dir.path, 'www.example.org'));
  await writeFile(join(dir.path, 'quarry.conf'), '');
  await mkdir(join(dir.path, 'conf.d'));
  await writeFile(join(dir.path, 'conf.d', 'a.ini'), '');
  const [folder = '', file = '', files = ''] = ['www.example.org', 'quarry.conf', 'conf.d'].map(name =>
    join(dir.path, name),
  );
  assert.deepEqual(await splitWords([folder, 'main.ini', '*.example.org', file, files]), {
    names: [folder, '*.example.org'],
    files: ['main.ini', file, files],
  });
});

const certificate = (id: string, names: string[], more: Partial<ManagedCertificate> = {}) =>
  ({ id, names, notBefore: 50 * day, notAfter: 150 * day, ...more }) as ManagedCertificate;
const all = [
  certificate('stored/files/a', ['www.example.org', 'example.org']),
  certificate('stored/files/b', ['*.example.org'], { notAfter: 120 * day, renews: false }),
  certificate('stored/redis/c', ['mail.example.net'], { notBefore: 60 * day }),
  certificate('profile/web/d.example', ['d.example']),
  certificate('stored/files/old-key', ['www.example.org'], { superseded: true }),
  certificate('acme/ab12', ['app.client.example'], { notAfter: 170 * day }),
  certificate('acme/cd34', ['gone.client.example'], { superseded: true }),
  certificate('stored/files/ended', ['gone.example.org'], { notAfter: now }),
];
const accountOf = ({ id }: { id: string }) => (id.startsWith('stored/redis') ? 'zerossl' : 'default');

const chosen = (wanted: Partial<Wanted>) =>
  choose(all, { names: [], account: undefined, issuedBefore: undefined, ...wanted }, accountOf, now).map(
    ({ id }) => id,
  );

for (const [what, wanted, ids] of [
  ['everything', {}, ['files/b', 'profile/web/d.example', 'redis/c', 'files/a', 'acme/ab12']],
  ["an ACME client's name", { names: ['*.client.example'] }, ['acme/ab12']],
  ['a name', { names: ['WWW.example.org'] }, ['files/a']],
  ['a glob', { names: ['*.example.org'] }, ['files/b', 'files/a']],
  ['one of several names', { names: ['mail.*', 'example.org'] }, ['redis/c', 'files/a']],
  ['an id', { names: ['stored/redis/c'] }, ['redis/c']],
  ['a renewal block', { names: ['web'] }, ['profile/web/d.example']],
  ['an account', { account: 'zerossl' }, ['redis/c']],
  [
    'a time',
    { issuedBefore: 55 * day, names: ['*.org', 'd.example'] },
    ['files/b', 'profile/web/d.example', 'files/a'],
  ],
] as const)
  test(`choose() finds what matches ${what}, by end and name, and nothing that has ended or is superseded`, () => {
    const expected = ids.map(id => (/^(profile|acme)\//.test(id) ? id : `stored/${id}`));
    assert.deepEqual(chosen(wanted as Partial<Wanted>), expected);
  });

test('choose() says which name matches nothing, or that nothing does', () => {
  assert.throws(() => chosen({ names: ['*.example.org', 'typo.example'] }), {
    message: 'nothing to reissue is called "typo.example"',
  });
  assert.throws(() => chosen({ names: ['gone.example.org'] }), /is called "gone/);
  assert.throws(() => chosen({ account: 'nobody' }), { message: 'there is nothing to reissue' });
  assert.throws(() => chosen({ issuedBefore: 50 * day }), { message: 'there is nothing to reissue' });
});

test('quarry reissue wants a configuration file, and a time that it can read', async () => {
  const without = await callQuarry(['reissue', 'www.example.org']);
  const wrong = await callQuarry(['reissue', '--issued-before', 'yesterday', 'main.ini']);
  assert.deepEqual(
    [without.code, without.stderr],
    [2, 'quarry: reissue needs a configuration file: quarry reissue main.ini\n'],
  );
  assert.deepEqual(
    [wrong.code, wrong.stderr],
    [2, 'quarry: yesterday is neither a date nor a time such as 2026-11-20T14:30:00Z\n'],
  );
});
