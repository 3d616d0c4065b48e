import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize, relative } from 'node:path';
import { test } from 'node:test';

// The floors and fences of the house (CONTRIBUTING.md draws them).

const root = join(import.meta.dirname, '..');

const floors: Record<string, number> = {
  base: 0,
  config: 1,
  pki: 1,
  dns: 1,
  admission: 2,
  storage: 2,
  acme: 2,
  limits: 2,
  notify: 2,
  solver: 3,
  order: 4,
  queue: 4,
  ca: 3,
  issue: 5,
  renewal: 5,
  shaman: 6,
  setup: 7,
};

/** Where a package may be imported; a package that is not listed may be imported anywhere in `shared` and `services`. */
const fences: Record<string, RegExp> = {
  'acme-client': /^shared\/acme\//,
  pkijs: /^shared\/pki\//,
  asn1js: /^shared\/pki\//,
  'dns-packet': /^shared\/dns\//,
  nodemailer: /^shared\/notify\//,
  bullmq: /^shared\/queue\//,
  koa: /^services\//,
  '@koa/router': /^services\//,
};

/** Words that only services may use: argv, environment, signals, listening. */
const servicesOnly = [/\bprocess\.(argv|env|exit|exitCode|on|once)\b/, /\.listen\(/];

type Import = { specifier: string; typeOnly: boolean };
type Source = { path: string; text: string; imports: Import[] };

function readImports(text: string): Import[] {
  const statements = text.matchAll(
    /^(?:import|export)\s+(type\s+)?(?:[^'"();]*?\sfrom\s+)?['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]/gm,
  );
  return [...statements].map(([, type, from, dynamic]) => ({
    specifier: from ?? dynamic ?? '',
    typeOnly: type !== undefined,
  }));
}

function readSources(folder: string): Source[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => {
      const path = join(folder, name);
      const text = readFileSync(join(root, path), 'utf8');
      return { path, text, imports: readImports(text) };
    });
}

/** The path inside the project that a relative import names. */
const target = (source: Source, { specifier }: Import) => normalize(join(dirname(source.path), specifier));
const isRelative = ({ specifier }: Import) => specifier.startsWith('.');
const folderOf = (path: string) => path.split('/')[1] ?? '';

const shared = readSources('shared');
const services = readSources('services');

function assertNone(broken: string[]) {
  assert.deepEqual(broken, []);
}

test('each folder of shared/ stands on a floor', () => {
  assertNone([...new Set(shared.map(source => folderOf(source.path)))].filter(folder => !(folder in floors)));
});

test('imports in shared/ go down only, and folders of one floor share only types', () => {
  const broken = shared.flatMap(source =>
    source.imports.filter(isRelative).flatMap(imported => {
      const to = target(source, imported);
      if (to === 'package.json') return []; // for the version
      if (!to.startsWith('shared/')) return [`${source.path} leaves shared/: ${to}`];
      const [from, below] = [folderOf(source.path), folderOf(to)];
      const step = (floors[from] ?? 0) - (floors[below] ?? 0);
      if (from === below || step > 0 || (step === 0 && imported.typeOnly)) return [];
      return [`${source.path} imports ${to}`];
    }),
  );
  assertNone(broken);
});

test('services import shared/ and themselves; only the command line imports other services', () => {
  const broken = services.flatMap(source =>
    source.imports
      .filter(isRelative)
      .map(imported => target(source, imported))
      .filter(to => to.startsWith('services/') && folderOf(to) !== folderOf(source.path))
      .filter(() => folderOf(source.path) !== 'cli')
      .map(to => `${source.path} imports ${to}`),
  );
  assertNone(broken);
});

test('the product never imports from test/', () => {
  const broken = [...shared, ...services].flatMap(source =>
    source.imports
      .filter(isRelative)
      .map(imported => target(source, imported))
      .filter(to => !to.startsWith('shared/') && !to.startsWith('services/') && to !== 'package.json')
      .map(to => `${source.path} imports ${to}`),
  );
  assertNone(broken);
});

test('fenced packages are imported only inside their fence', () => {
  const broken = [...shared, ...services].flatMap(source =>
    source.imports
      .filter(imported => !isRelative(imported))
      .map(({ specifier }) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/'))
      .filter(name => fences[name] && !fences[name].test(source.path))
      .map(name => `${source.path} imports ${name}`),
  );
  assertNone(broken);
});

test('every imported package is a declared dependency, and every dependency is imported', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, object>;
  const declared = new Set(Object.keys(manifest.dependencies ?? {}));
  const imported = new Set(
    [...shared, ...services]
      .flatMap(source => source.imports)
      .filter(one => !isRelative(one) && !one.specifier.startsWith('node:'))
      .map(({ specifier }) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')),
  );
  assert.deepEqual(
    [...imported].filter(name => builtinModules.includes(name) || !declared.has(name)),
    [],
  );
  assert.deepEqual(
    [...declared].filter(name => !imported.has(name) && name !== 'pino-pretty'),
    [],
  );
});

test('only services read argv, environment and signals, or listen', () => {
  const broken = shared.flatMap(({ path, text }) =>
    servicesOnly
      .filter(() => path !== 'shared/base/listeners.ts')
      .filter(word => word.test(text.replace(/\/\/.*|\/\*[\s\S]*?\*\//g, '')))
      .map(word => `${path}: ${word}`),
  );
  assertNone(broken);
});

test('only services open listeners', () => {
  const broken = shared.filter(source =>
    source.imports.some(imported => target(source, imported) === 'shared/base/listeners.ts'),
  );
  assertNone(broken.map(({ path }) => path));
});

test('no folder is named utils or helpers', () => {
  const folders = [...shared, ...services, ...readSources('test')].map(({ path }) =>
    relative('.', dirname(path)),
  );
  assertNone(folders.filter(folder => /\b(utils?|helpers?|common|misc|lib)\b/.test(folder)));
});
