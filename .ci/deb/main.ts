import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { VERSION } from '../../shared/base/version.ts';
import { type Arch, debianArch, findNode } from './node.ts';
import { layTree } from './tree.ts';

// `npm run deb`: builds the Debian package, with Node and all modules in it. The same commit and the same `strip` make the same bytes.

const root = resolve(import.meta.dirname, '../..');

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: process.arch },
    into: { type: 'string', default: root },
    /** For tests: a version to upgrade to. */
    version: { type: 'string', default: VERSION },
    /** Another Node than that of package-lock.json. */
    node: { type: 'string' },
    /** For tests: packs nothing, which is what takes the time. */
    fast: { type: 'boolean', default: false },
  },
});

/** Seconds since the epoch: that of the last commit, so that whoever builds it gets the same package. */
function readEpoch(): number {
  const { SOURCE_DATE_EPOCH } = process.env;
  if (SOURCE_DATE_EPOCH !== undefined) return Number(SOURCE_DATE_EPOCH);
  const git = ['-C', root, 'log', '-1', '--format=%ct'];
  return Number(execFileSync('git', git, { encoding: 'utf8' }));
}

async function build(): Promise<string> {
  if (values.arch !== 'x64' && values.arch !== 'arm64')
    throw new Error(`--arch ${values.arch}: there is Node for x64 and arm64`);
  const arch: Arch = values.arch;
  const epoch = readEpoch();
  const scratch = mkdtempSync(join(tmpdir(), 'quarry-deb-'));
  try {
    const node = findNode(arch, { root, scratch, own: values.node });
    const tree = join(scratch, 'tree');
    await layTree(tree, { root, arch, node, version: values.version, epoch });
    mkdirSync(values.into, { recursive: true });
    const file = resolve(values.into, `quarry_${values.version}_${debianArch[arch]}.deb`);
    const compression = values.fast ? ['-Znone'] : ['-Zxz', '-z9', '--threads-max=1'];
    execFileSync('dpkg-deb', ['--root-owner-group', ...compression, '--build', tree, file], {
      env: { ...process.env, SOURCE_DATE_EPOCH: `${epoch}` },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return `${file}: ${(readFileSync(file).length / 1e6).toFixed(1)} MB`;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

try {
  process.stdout.write(`${await build()}\n`);
} catch (error) {
  process.stderr.write(`npm run deb: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
