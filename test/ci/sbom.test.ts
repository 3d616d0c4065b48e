import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { addInstalled, type Sbom } from '../../.ci/release/sbom.ts';
import { tempDir } from '../support/temp-dir.ts';

const release = join(import.meta.dirname, '../../.ci/release');
const quarry = { name: 'quarry', type: 'application', 'bom-ref': 'quarry@1.2.0' };
const koa = {
  type: 'library',
  name: 'koa',
  version: '3.3.0',
  'bom-ref': 'koa@3.3.0',
  purl: 'pkg:npm/koa@3.3.0',
};
const lock: Sbom = {
  bomFormat: 'CycloneDX',
  specVersion: '1.5',
  metadata: { component: quarry },
  components: [koa],
  dependencies: [{ ref: 'quarry@1.2.0', dependsOn: ['koa@3.3.0'] }, { ref: 'koa@3.3.0' }],
};

test('the SBOM of an image has the modules, Node, and the packages of the distribution', () => {
  const said = 'distribution debian 12\nnode v24.21.0\npackage libstdc++6 12.2.0-14+deb12u1 amd64\n';
  const { metadata, components, dependencies } = addInstalled(lock, said);
  assert.deepEqual(metadata.component, { ...quarry, type: 'container' });
  const node = 'pkg:generic/node@24.21.0';
  const debian = 'pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12';
  assert.deepEqual(
    components.map(({ purl }) => purl),
    [koa.purl, node, debian],
  );
  assert.deepEqual(dependencies, [
    { ref: 'quarry@1.2.0', dependsOn: ['koa@3.3.0', node, debian] },
    ...[{ ref: 'koa@3.3.0' }, { ref: node }, { ref: debian }],
  ]);
});

test('an SBOM is refused where the image did not say what is in it', () => {
  assert.throws(() => addInstalled(lock, 'sh: dpkg-query: not found\n'), /not said which distribution/);
  const half = 'distribution debian 12\npackage libc6\n';
  assert.throws(() => addInstalled(lock, half), /does not say: package libc6/);
});

test('what is installed here is listed as the SBOM reads it', () => {
  const said = execFileSync('sh', { input: readFileSync(join(release, 'installed.sh')), encoding: 'utf8' });
  const names = addInstalled(lock, said).components.map(({ name }) => name);
  for (const name of ['node', 'libc6', 'dpkg']) assert.ok(names.includes(name), name);
});

test('the checksums of a release are those of all its files, and are made anew', async () => {
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'quarry-1.2.0.tgz'), 'a');
  await writeFile(join(dir.path, 'SHA256SUMS'), 'of a run before\n');
  execFileSync(join(release, 'checksums'), [dir.path]);
  const sums = readFileSync(join(dir.path, 'SHA256SUMS'), 'utf8');
  assert.equal(sums, 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  quarry-1.2.0.tgz\n');
  execFileSync('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: dir.path });
});
