import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { loadCommands } from '../../services/cli/commands.ts';
import { readChangelog } from '../release/changelog.ts';
import { toDebianChangelog } from './changelog.ts';
import { toControl } from './control.ts';
import { toCopyright } from './copyright.ts';
import { toGetManual, toManual } from './manual.ts';
import { isLoaded, type Module, readEntries, readModules } from './modules.ts';
import type { Arch, Node } from './node.ts';

type Parts = { root: string; arch: Arch; node: Node; version: string; epoch: number };

const files = join(import.meta.dirname, 'files');
const quarryGet = 'services/get/quarry-get';

/** Lays out all that the package has, below `tree`, and its control files in `tree/DEBIAN`. */
export async function layTree(tree: string, parts: Parts): Promise<void> {
  const { root, node } = parts;
  const modules = readModules(root);
  const put = (path: string, content: string | Buffer, mode = 0o644) => {
    mkdirSync(join(tree, dirname(path)), { recursive: true });
    writeFileSync(join(tree, path), content, { mode });
  };
  layProgram(join(tree, 'usr/lib/quarry'), root, modules);
  put('usr/lib/quarry/bin/node', readFileSync(node.program), 0o755);
  put('usr/bin/quarry', readFileSync(join(files, 'quarry')), 0o755);
  layServices(tree, put, root);
  await layPages(put, parts, modules);
  layControl(put, tree, parts);
  settle(tree, parts.epoch);
}

type Put = (path: string, content: string | Buffer, mode?: number) => void;

/** As npm installs it: the compiled program in a folder beside the modules. */
function layProgram(folder: string, root: string, modules: Module[]): void {
  const own = join(folder, 'node_modules/quarry');
  const words = [join(own, 'dist'), '--declaration', 'false', '--noCheck'];
  mkdirSync(own, { recursive: true });
  execFileSync(join(root, '.ci/prepack'), words, { stdio: ['ignore', 2, 2], env: withPrograms(root) });
  cpSync(join(root, 'package.json'), join(own, 'package.json'));
  cpSync(join(root, 'services/cli/quarry.js'), join(own, 'services/cli/quarry.js'));
  // /usr/bin/quarry starts it: its `#!/usr/bin/env node` would find no Node, or another one.
  chmodSync(join(own, 'services/cli/quarry.js'), 0o644);
  for (const { path } of modules) layModule(join(root, path), join(folder, path));
}

const withPrograms = (root: string) => ({
  ...process.env,
  PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}`,
});

/** Without modules within it, which have entries of their own. */
function layModule(from: string, to: string): void {
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    const path = relative(from, join(entry.parentPath, entry.name));
    if (!entry.isFile() || path.startsWith('node_modules/') || !isLoaded(path)) continue;
    mkdirSync(join(to, dirname(path)), { recursive: true });
    writeFileSync(join(to, path), readFileSync(join(from, path)));
  }
  const { main, exports, imports } = JSON.parse(readFileSync(join(to, 'package.json'), 'utf8'));
  for (const entry of readEntries([main, exports, imports]))
    if (existsSync(join(from, entry)) && !existsSync(join(to, entry)))
      throw new Error(`${from} needs its ${entry}, which is left out of the package`);
}

function layServices(tree: string, put: Put, root: string): void {
  const units = join(root, 'services/systemd');
  for (const unit of readdirSync(units).filter(name => name.endsWith('.service')))
    put(`usr/lib/systemd/system/${unit}`, readFileSync(join(units, unit)));
  put('usr/lib/sysusers.d/quarry.conf', readFileSync(join(files, 'sysusers.conf')));
  put('usr/lib/tmpfiles.d/quarry.conf', readFileSync(join(files, 'tmpfiles.conf')));
  put('etc/default/quarry', readFileSync(join(files, 'default')));
  mkdirSync(join(tree, 'etc/quarry'));
  put('usr/bin/quarry-get', readFileSync(join(root, quarryGet)), 0o755);
}

const completions = {
  bash: 'usr/share/bash-completion/completions/quarry',
  zsh: 'usr/share/zsh/vendor-completions/_quarry',
  fish: 'usr/share/fish/vendor_completions.d/quarry.fish',
} as const;

async function layPages(put: Put, { root, node, version, epoch }: Parts, modules: Module[]): Promise<void> {
  const commands = await loadCommands();
  const date = new Date(epoch * 1000).toISOString().slice(0, 10);
  const zip = (text: string) => gzipSync(text, { level: 9 });
  put('usr/share/man/man1/quarry.1.gz', zip(toManual(commands, version, date)));
  const help = execFileSync('sh', [join(root, quarryGet), '--help'], { encoding: 'utf8' });
  put('usr/share/man/man1/quarry-get.1.gz', zip(toGetManual(help, version, date)));
  for (const [shell, path] of Object.entries(completions)) {
    const said: string[] = [];
    const write = async (text: string) => void said.push(text);
    await commands.completion?.run([shell], { env: {}, write });
    put(path, said.join(''));
  }
  // A package of another version than the newest is made for a test.
  const releases = readChangelog().map((release, index) => (index === 0 ? { ...release, version } : release));
  put('usr/share/doc/quarry/changelog.gz', zip(toDebianChangelog(releases, maintainer)));
  put('usr/share/doc/quarry/copyright', toCopyright(root, modules, node.license));
  for (const page of globSync(['README.md', '{services,shared}/**/*.md'], { cwd: root }))
    put(`usr/share/doc/quarry/${page}`, readFileSync(join(root, page)));
  put('usr/share/lintian/overrides/quarry', readFileSync(join(files, 'lintian-overrides')));
}

const { DEBFULLNAME = 'The Quarry authors', DEBEMAIL = 'quarry@packages.invalid' } = process.env;
const maintainer = `${DEBFULLNAME} <${DEBEMAIL}>`;

function layControl(put: Put, tree: string, { arch, version }: Parts): void {
  const all = listFiles(tree);
  const bytes = all.reduce((sum, path) => sum + Math.ceil(statSync(join(tree, path)).size / 1024) * 1024, 0);
  const digest = (path: string) =>
    createHash('md5')
      .update(readFileSync(join(tree, path)))
      .digest('hex');
  put(
    'DEBIAN/md5sums',
    all
      .filter(path => !path.startsWith('etc/'))
      .map(path => `${digest(path)}  ${path}\n`)
      .join(''),
  );
  put('DEBIAN/control', toControl({ arch, version, maintainer, size: bytes / 1024 }));
  put('DEBIAN/conffiles', '/etc/default/quarry\n');
  for (const name of ['postinst', 'prerm', 'postrm'])
    put(`DEBIAN/${name}`, readFileSync(join(files, name)), 0o755);
}

/** Paths of all files below, in the order of their bytes. */
const listFiles = (tree: string): string[] =>
  readdirSync(tree, { recursive: true, withFileTypes: true })
    .filter(entry => !entry.isDirectory())
    .map(entry => relative(tree, join(entry.parentPath, entry.name)))
    .sort();

/** Modes and times that do not depend on who builds it. */
function settle(tree: string, epoch: number): void {
  const entries = readdirSync(tree, { recursive: true, withFileTypes: true });
  const paths = entries.map(entry => join(entry.parentPath, entry.name)).reverse();
  for (const path of [...paths, tree]) {
    const { mode } = statSync(path);
    chmodSync(path, (mode & 0o100) === 0 ? 0o644 : 0o755);
    lutimesSync(path, epoch, epoch);
  }
}
