import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

type Component = { type: string; name: string; version: string; 'bom-ref': string; purl: string };
type Dependency = { ref: string; dependsOn?: string[] };

/** As much of CycloneDX 1.5 as is changed here. */
export type Sbom = {
  bomFormat: string;
  specVersion: string;
  metadata: { component: { name: string; type: string; 'bom-ref': string; [more: string]: unknown } };
  components: Component[];
  dependencies: Dependency[];
  [more: string]: unknown;
};

/** What npm says of the lock file, without what is for developers alone. @param omit further kinds */
function readLock(omit: string[]): Sbom {
  const omitted = ['dev', ...omit].flatMap(kind => ['--omit', kind]);
  const words = ['--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only'];
  const text = execFileSync('npm', ['sbom', ...words, ...omitted], { cwd: root, encoding: 'utf8' });
  const sbom = JSON.parse(text) as Sbom;
  // npm takes the folder's name.
  sbom.metadata.component.name = 'quarry';
  return sbom;
}

/**
 * What is in an image: beside the modules, Node and the packages of its distribution.
 *
 * @param installed what `installed.sh` prints there; throws an error that quotes a line that is not so
 */
export function addInstalled(sbom: Sbom, installed: string): Sbom {
  const lines = installed
    .trimEnd()
    .split('\n')
    .map(line => line.split(' '));
  const distribution = lines.find(([kind]) => kind === 'distribution');
  if (!distribution) throw new Error('installed.sh has not said which distribution this is');
  const added = lines.filter(line => line !== distribution).map(line => toComponent(line, distribution));
  const { 'bom-ref': image } = sbom.metadata.component;
  const dependencies = sbom.dependencies.map(one => {
    if (one.ref !== image) return one;
    return { ...one, dependsOn: [...(one.dependsOn ?? []), ...added.map(({ purl }) => purl)] };
  });
  const component = { ...sbom.metadata.component, type: 'container' };
  return {
    ...sbom,
    metadata: { ...sbom.metadata, component },
    components: [...sbom.components, ...added],
    dependencies: [...dependencies, ...added.map(({ purl }) => ({ ref: purl }))],
  };
}

function toComponent(line: string[], [, distribution = '', release = '']: string[]): Component {
  const [kind, name = '', version = '', arch = ''] = line;
  if (kind === 'node' && /^v\d/.test(name)) {
    const purl = `pkg:generic/node@${name.slice(1)}`;
    return { type: 'platform', name: 'node', version: name.slice(1), 'bom-ref': purl, purl };
  }
  if (kind !== 'package' || arch === '') throw new Error(`installed.sh does not say: ${line.join(' ')}`);
  const where = `arch=${arch}&distro=${distribution}-${release}`;
  const purl = `pkg:deb/${distribution}/${encodeURIComponent(name)}@${encodeURIComponent(version)}?${where}`;
  return { type: 'library', name, version, 'bom-ref': purl, purl };
}

// node .ci/release/sbom.ts            the lock file's, in CycloneDX
// … | node .ci/release/sbom.ts --image   an image's, with what installed.sh printed in it
if (import.meta.main) {
  const isImage = process.argv[2] === '--image';
  // The image has Node from its base, and leaves out what is optional.
  const sbom = readLock(isImage ? ['optional'] : []);
  const said = isImage ? Buffer.concat(await process.stdin.toArray()).toString() : '';
  process.stdout.write(`${JSON.stringify(isImage ? addInstalled(sbom, said) : sbom, null, 2)}\n`);
}
