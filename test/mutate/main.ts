import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, normalize, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { describeError } from '../../shared/base/errors.ts';
import { seededRandom } from '../soak/random.ts';
import { type Change, findChanges } from './changes.ts';
import { copyCheckout, runIn } from './copies.ts';
import { findImporters, type TestFile, tryOut } from './tests.ts';

// `npm run mutate [-- --most N] [--seed S] [FILE…]`: makes one small change at a time to the files (or to all
// files of the folders) in a copy of the checkout, runs the unit and contract tests that run the changed
// place, and prints the changes that no test notices. With --most it tries so many, drawn by the seed.

const usual = ['shared/order', 'services/worker', 'shared/admission', 'shared/limits'];
const lanes = 2;
/** A test that takes this many times as long as it did, and these milliseconds more, hangs. */
const patience = { times: 4, moreMs: 10_000 };

const root = join(import.meta.dirname, '..', '..');
const print = (text: string) => void process.stdout.write(`${text}\n`);

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const options = { most: text, seed: text };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [most, seed] = [Number(values.most ?? Infinity), Number(values.seed ?? 1)];
  if (!(most > 0) || !Number.isInteger(seed)) throw new Error('--most N, --seed S (an integer)');

  const files = await findFiles(positionals.length > 0 ? positionals : usual);
  const all = findChanges(root, files);
  const changes = seededRandom(seed).shuffle(all).slice(0, most).sort(byPlace);
  print(`${changes.length} of ${all.length} changes in ${files.length} files`);

  await using copies = new AsyncDisposableStack();
  const made = await Promise.all(Array.from({ length: lanes }, () => copyCheckout(root)));
  const paths = made.map(copy => copies.use(copy).path);
  const tests = await findTests(paths, files);
  const verdicts = await inLanes(paths, changes, (copy, change) => judge(copy, change, tests));
  report(changes, verdicts);
}

async function findFiles(paths: string[]): Promise<string[]> {
  const found = await Promise.all(
    paths.map(async path => {
      const file = normalize(relative(root, path.startsWith('/') ? path : join(root, path)));
      if (!(await stat(join(root, file))).isDirectory()) return [file];
      const names = await readdir(join(root, file), { recursive: true });
      return names.filter(name => /(?<!\.d)\.ts$/.test(name)).map(name => join(file, name));
    }),
  );
  return found.flat().sort();
}

const byPlace = (one: Change, other: Change) =>
  one.file.localeCompare(other.file) || one.start - other.start || one.end - other.end;

/** The tests of these files, the fastest first. */
async function findTests(copies: string[], files: string[]): Promise<TestFile[]> {
  const importers = await findImporters(root, files);
  print(`${importers.length} test files import them; each is run once without a change`);
  const tried = await inLanes(copies, importers, (copy, path) => tryOut(copy, path, files));
  for (const { test, ending } of tried)
    if (ending !== 'passed') print(`left out, as it ${ending} without a change: ${test.path}`);
  return tried
    .flatMap(({ test, ending }) => (ending === 'passed' ? [test] : []))
    .sort((one, other) => one.took - other.took);
}

/** Hands each item to the next copy that is free; the results come in the order of the items. */
async function inLanes<Item, Result>(
  copies: string[],
  items: readonly Item[],
  act: (copy: string, item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = [...items.entries()];
  await Promise.all(
    copies.map(async copy => {
      for (let next = waiting.shift(); next; next = waiting.shift())
        results[next[0]] = await act(copy, next[1]);
    }),
  );
  return results;
}

type Verdict = 'noticed' | 'survived' | 'not run' | 'refused by the types';

async function judge(copy: string, change: Change, tests: TestFile[]): Promise<Verdict> {
  const path = join(copy, change.file);
  const before = await readFile(path, 'utf8');
  await writeFile(path, before.slice(0, change.start) + change.text + before.slice(change.end));
  try {
    const verdict = await runTests(copy, change, tests);
    if (verdict === 'noticed') return verdict;
    // What cannot be checked in needs no test.
    const typed = await runIn(copy, ['node_modules/typescript/bin/tsc'], { timeoutMs: 60_000 });
    if (typed !== 'passed') return 'refused by the types';
    print(`${verdict}: ${describe(change)}`);
    return verdict;
  } finally {
    await writeFile(path, before);
  }
}

async function runTests(copy: string, { file, start }: Change, tests: TestFile[]): Promise<Verdict> {
  const concerned = tests.filter(({ runs }) => runs(file, start));
  for (const { path, took } of concerned) {
    const timeoutMs = Math.ceil(patience.times * took) + patience.moreMs;
    if ((await runIn(copy, [path], { timeoutMs })) !== 'passed') return 'noticed';
  }
  return concerned.length === 0 ? 'not run' : 'survived';
}

function describe({ file, line, was, text }: Change): string {
  const short = (code: string) => code.replace(/\s+/g, ' ').slice(0, 120);
  return `${file}:${line}  ${short(was)}  →  ${text === ';' ? 'nothing' : short(text)}`;
}

function report(changes: readonly Change[], verdicts: readonly Verdict[]): void {
  const count = (wanted: Verdict) => verdicts.filter(verdict => verdict === wanted).length;
  const kinds: Verdict[] = ['noticed', 'refused by the types', 'survived', 'not run'];
  print(`${changes.length} changes: ${kinds.map(kind => `${count(kind)} ${kind}`).join(', ')}`);
}

// An exit, unlike a signal, ends all processes and removes their folders (test/support/processes.ts).
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
try {
  await main();
} catch (error) {
  process.stderr.write(`mutate: ${describeError(error)}\n`);
  process.exitCode = 1;
}
