import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import {
  findCircles,
  isRelative,
  parseSource,
  readExports,
  readSources,
  readUses,
  root,
  target,
} from './support/read-sources.ts';
import { COMMENT, findFunctions, LITERAL, scanSource } from './support/scan-source.ts';

// The floors and fences of the house (services/docs/architecture.md draws them).

const floors: Record<string, number> = {
  base: 0,
  config: 1,
  pki: 1,
  dns: 1,
  trail: 1,
  admission: 2,
  storage: 2,
  acme: 2,
  limits: 2,
  notify: 2,
  solver: 3,
  order: 4,
  queue: 4,
  ca: 3,
  inventory: 5,
  issue: 5,
  library: 5,
  renewal: 5,
  'acme-server': 6,
  shaman: 6,
  setup: 7,
};

/**
 * Where a package may be imported; a package that is not listed may be imported anywhere in `shared` and
 * `services`.
 */
const fences: Record<string, RegExp> = {
  pkijs: /^shared\/pki\//,
  asn1js: /^shared\/pki\//,
  'dns-packet': /^shared\/dns\//,
  nodemailer: /^shared\/notify\//,
  bullmq: /^shared\/queue\//,
  koa: /^services\//,
  '@koa/router': /^services\//,
  jose: /^shared\/acme-server\//,
};

/** Words that only services may use: argv, environment, signals, listening. */
const servicesOnly = [/\bprocess\.(argv|env|exit|exitCode|on|once)\b/, /\.listen\(/];

/** Values that are exported for tests alone, each with the reason. */
const forTestsAlone: Record<string, string> = {
  'services/cli/acme/acme.ts acmeActions': 'each action has to be in the help and on its page',
  'services/cli/exposed-files.ts findExposure': 'what modes and groups allow is a table',
  'services/cli/reissue.ts choose': 'what a reissue takes in has more cases than a test can run a fleet for',
  'services/intake/routes/event-stream.ts toEvent': 'the lines of its data are a table',
  'services/intake/routes/sign.ts openCsrReader': 'what it remembers shows in no answer',
  'services/worker/sign-job.ts runSignJob': 'each step of a job is seen without a queue',
  'shared/inventory/lines.ts toSortedName': 'how names sort is a table',
  'shared/order/challenges.ts authorizedIdentifier': 'how CAs spell names is a table',
  'shared/order/challenges.ts chooseChallenge': 'what CAs offer is a table',
  'shared/order/challenges.ts findMissing': 'the bounds of a propagation, without an order around it',
  'shared/order/challenges.ts presentChallenges': 'the order of solvers, without an order around it',
  'shared/renewal/ask-window.ts learnWindow': 'what a CA may answer is a table',
  'shared/shaman/programs.ts findProgram': 'told apart by where it looks, which no solver shows',
  'shared/solver/challtestsrv.ts openChalltestsrvSolver': 'each kind of solver meets a server of its own',
  'shared/solver/dns-persist.ts openDnsPersistSolver': 'each kind of solver meets a server of its own',
  'shared/solver/dns-records.ts valuesKey': 'how long a record lives is looked up in Redis',
  'shared/solver/dns01-update.ts openDnsUpdateSolver': 'each kind of solver meets a server of its own',
  'shared/solver/http01.ts challengeKey': 'how long a response lives is looked up in Redis',
};

const folderOf = (path: string) => path.split('/')[1] ?? '';

const shared = readSources('shared');
const services = readSources('services');
const tests = readSources('test');
const product = [...shared, ...services];

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
  const broken = product.flatMap(source =>
    source.imports
      .filter(isRelative)
      .map(imported => target(source, imported))
      .filter(to => !to.startsWith('shared/') && !to.startsWith('services/') && to !== 'package.json')
      .map(to => `${source.path} imports ${to}`),
  );
  assertNone(broken);
});

test('fenced packages are imported only inside their fence', () => {
  const broken = product.flatMap(source =>
    source.imports
      .filter(imported => !isRelative(imported))
      .map(({ specifier }) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/'))
      .filter(name => fences[name] && !fences[name].test(source.path))
      .map(name => `${source.path} imports ${name}`),
  );
  assertNone(broken);
});

test('node:http is loaded by shared/base/http.ts alone; others import its types', () => {
  const broken = product.filter(({ imports }) =>
    imports.some(({ specifier, typeOnly }) => specifier === 'node:http' && !typeOnly),
  );
  assertNone(broken.map(({ path }) => path));
});

test('every imported package is a declared dependency, and every dependency is imported', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, object>;
  const declared = new Set(Object.keys(manifest.dependencies ?? {}));
  const imported = new Set(
    product
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
  const folders = [...product, ...tests].map(({ path }) => relative('.', dirname(path)));
  assertNone(folders.filter(folder => /\b(utils?|helpers?|common|misc|lib)\b/.test(folder)));
});

test('the page on architecture draws each folder of both trees and of the tests', () => {
  const page = readFileSync(join(root, 'services/docs/architecture.md'), 'utf8');
  const house = /(^ {4}services\/[\s\S]*?)\n\n/m.exec(page)?.[1] ?? '';
  const mirrored = (folder: string) => ['test/services', 'test/shared'].includes(folder);
  const folders = ['services', 'shared', 'test'].flatMap(tree =>
    readdirSync(join(root, tree), { withFileTypes: true })
      .filter(entry => entry.isDirectory() && !mirrored(`${tree}/${entry.name}`))
      .map(({ name }) => name),
  );
  assertNone(folders.filter(name => !new RegExp(`[ ,/]${name}[/, \n]`).test(house)));
});

test('no file has two imports from one module', () => {
  const twice = [...product, ...tests].flatMap(({ path, text }) => {
    const modules = [...text.matchAll(/^import (?:type )?[\w{][^;]*? from '([^']+)';$/gm)].map(
      ([, from]) => from,
    );
    return new Set(modules).size === modules.length ? [] : [path];
  });
  assertNone(twice);
});

test('no import circle leads through files of the product, types included', () => {
  assertNone(findCircles(product));
});

const used = new Set(product.flatMap(readUses));
const tested = new Set(tests.flatMap(readUses));

test('no export of the product is without an import: tests alone are no reason for a value', () => {
  const library = 'shared/library/index.ts';
  const unused = product
    .filter(({ path }) => path !== library && !path.endsWith('.d.ts'))
    .flatMap(readExports)
    .map(({ path, name, isType }) => ({ use: `${path} ${name}`, isType }))
    .filter(({ use, isType }) => !used.has(use) && !(tested.has(use) && (isType || use in forTestsAlone)))
    .map(({ use }) => use);
  assertNone(unused);
});

test('every exception for the sake of tests is still needed', () => {
  assertNone(Object.keys(forTestsAlone).filter(use => used.has(use) || !tested.has(use)));
});

const mostColumns = 110;

/** A comment can always be wrapped, a long literal never. */
function isTooLong(line: string, kinds: string): boolean {
  if (line.length <= mostColumns) return false;
  const hasLongLiteral = kinds.includes(LITERAL.repeat(40));
  return !hasLongLiteral || kinds.includes(COMMENT);
}

test(`no line is longer than ${mostColumns} columns, but for a literal that cannot be broken`, () => {
  const lines = [...product, ...tests].flatMap(({ path, text, scanned }) => {
    let at = 0;
    return text.split('\n').flatMap((line, index) => {
      const kinds = scanned.kinds.slice(at, at + line.length);
      at += line.length + 1;
      return isTooLong(line, kinds) ? [`${path}:${index + 1}`] : [];
    });
  });
  assertNone(lines);
});

test('no test asks a stopwatch, as a busy machine would fail it: benchmarks measure time', () => {
  const stopwatch = /\b(performance\.now|hrtime|timeOrigin)\b/;
  const own = 'test/architecture.test.ts';
  const broken = tests.filter(
    ({ path, text }) => path !== own && path.endsWith('.test.ts') && stopwatch.test(text),
  );
  assertNone(broken.map(({ path }) => path));
});

test('what is done before or after each test is done in a suite, as unit tests share a process', () => {
  const unit = tests.filter(({ path }) => /^test\/(shared|services|bench)\//.test(path));
  assertNone(unit.filter(({ text }) => /^(before|after)Each\(/m.test(text)).map(({ path }) => path));
});

test('no file of the product has more than 250 lines', () => {
  assertNone(product.filter(({ text }) => text.trimEnd().split('\n').length > 250).map(({ path }) => path));
});

test('half of the functions of the product have at most 10 lines', () => {
  const lengths = product.flatMap(({ scanned }) => findFunctions(scanned).map(({ lines }) => lines));
  lengths.sort((one, other) => one - other);
  assert.ok(lengths.length > 500, `${lengths.length} functions`);
  const median = lengths[Math.floor(lengths.length / 2)] ?? 0;
  assert.ok(median <= 10, `the median function has ${median} lines`);
});

test('circles, exports and uses are read out of every form of import and export', () => {
  const one = parseSource(
    'a/one.ts',
    [
      "import type { Two } from './two.ts';",
      "export { three, type Four as Five } from './two.ts';",
      "export async function six() { return (await import('./two.ts')).seven; }",
      "// export const eight = '';",
    ].join('\n'),
  );
  const two = parseSource(
    'a/two.ts',
    "import { six as other } from './one.ts';\nexport type Two = { a: 1 };",
  );
  const three = parseSource('a/three.ts', "import './one.ts';");
  assert.deepEqual(findCircles([one, two, three]), ['a/one.ts, a/two.ts']);
  assert.deepEqual(
    readUses(one),
    ['Two', 'three', 'Four', 'seven'].map(name => `a/two.ts ${name}`),
  );
  assert.deepEqual(readUses(two), ['a/one.ts six']);
  const exported = [one, two].flatMap(readExports).map(({ name, isType }) => `${name} ${isType}`);
  assert.deepEqual(exported, ['six false', 'three false', 'Five true', 'Two true']);
});

test('the scanner finds functions of every kind, and takes no literal, comment or type for one', () => {
  const text = [
    'export function plain(a: { b: string }): { c: Map<string, { d: number }> } {',
    '  return a.replace(/[/"{]/g, `\x24{a.b + `}`} function x() {`); // function y() {',
    '}',
    'const arrow = async ({ a }: { a: number }) => {',
    '  if (a / 2 > 1) {',
    '    call(a, { b: 1 });',
    '  }',
    '};',
    'type Shape = { method(a: string): Promise<{ b: number }> };',
    'const object = {',
    "  async *method(a = '}'): AsyncGenerator<Map<string, Set<number>>> {",
    '    yield a;',
    '  },',
    '  [Symbol.dispose](): (a: string) => boolean {',
    '    return () => true;',
    '  },',
    '};',
  ].join('\n');
  const found = findFunctions(scanSource(text)).sort((one, other) => one.line - other.line);
  assert.deepEqual(found, [
    { line: 1, lines: 3 },
    { line: 4, lines: 5 },
    { line: 11, lines: 3 },
    { line: 14, lines: 3 },
  ]);
});
