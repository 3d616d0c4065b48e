import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Arch = 'x64' | 'arm64';

export const debianArch: Record<Arch, string> = { x64: 'amd64', arm64: 'arm64' };

export type Node = { program: string; license: string };

/**
 * Node for an architecture, from the package that package-lock.json names: as it is installed here, else from
 * npm's registry. Without the symbols, which debuggers alone would read, where there is a `strip` for it.
 *
 * @param own a program that is taken in its place, as it is
 */
export function findNode(
  arch: Arch,
  { root, scratch, own }: { root: string; scratch: string; own: string | undefined },
): Node {
  const name = `node-linux-${arch}`;
  const installed = join(root, 'node_modules', name);
  const folder = existsSync(installed) ? installed : fetchPackage(name, { root, scratch });
  const program = join(scratch, 'node');
  copyFileSync(own ?? join(folder, 'bin/node'), program);
  if (own === undefined) strip(program, arch);
  return { program, license: readFileSync(join(folder, 'LICENSE'), 'utf8') };
}

function fetchPackage(name: string, { root, scratch }: { root: string; scratch: string }): string {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const { version, integrity } = lock.packages[`node_modules/${name}`];
  const words = ['pack', '--silent', '--pack-destination', scratch, `${name}@${version}`];
  const archive = join(scratch, execFileSync('npm', words, { encoding: 'utf8' }).trim());
  const digest = createHash('sha512').update(readFileSync(archive)).digest('base64');
  if (integrity !== `sha512-${digest}`)
    throw new Error(`${name}@${version} is not what package-lock.json names`);
  execFileSync('tar', ['-xzf', archive, '-C', scratch]);
  return join(scratch, 'package');
}

const machine: Record<Arch, string> = { x64: 'x86_64', arm64: 'aarch64' };

function strip(program: string, arch: Arch): void {
  const own = process.arch === arch ? ['strip'] : [];
  for (const command of [...own, `${machine[arch]}-linux-gnu-strip`, 'llvm-strip'])
    try {
      return void execFileSync(command, ['--strip-unneeded', program], { stdio: 'ignore' });
    } catch {
      // another one may be there
    }
  process.stderr.write(`there is no strip for ${arch} (binutils): the package is larger by a tenth\n`);
}
