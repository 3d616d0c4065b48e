import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Ending, runIn } from './copies.ts';

/** A test file that passes while nothing is changed. */
export type TestFile = {
  path: string;
  /** How long it takes, in milliseconds. */
  took: number;
  /** Whether it runs the code at this place of a file. */
  runs(file: string, offset: number): boolean;
};

/** Unit and contract tests; those with processes take too long to be run again and again. */
const testFolders = ['test/shared', 'test/services', 'test/contract'];
const firstRunMs = 120_000;

/**
 * The test files that import one of the files, however many files lie between. Paths are relative to the
 * root.
 */
export async function findImporters(root: string, files: readonly string[]): Promise<string[]> {
  const folders = await Promise.all(
    ['shared', 'services', 'test'].map(async folder => {
      const names = await readdir(join(root, folder), { recursive: true });
      return names.filter(name => name.endsWith('.ts')).map(name => join(folder, name));
    }),
  );
  const importers = new Map<string, string[]>();
  for (const path of folders.flat()) {
    const text = await readFile(join(root, path), 'utf8');
    for (const [, to = ''] of text.matchAll(/(?:\bfrom|\bimport\(?)\s*'(\.[^']+)'/g)) {
      const imported = normalize(join(path, '..', to));
      importers.set(imported, [...(importers.get(imported) ?? []), path]);
    }
  }
  const reached = new Set(files);
  for (const path of reached) for (const importer of importers.get(path) ?? []) reached.add(importer);
  return [...reached].filter(isTest).sort();
}

const isTest = (path: string) =>
  path.endsWith('.test.ts') && testFolders.some(folder => path.startsWith(`${folder}/`));

/** Runs a test file in an unchanged copy, and learns what it runs of the files. */
export async function tryOut(
  copy: string,
  path: string,
  files: readonly string[],
): Promise<{ test: TestFile; ending: Ending }> {
  const coverage = await mkdtemp(join(copy, 'coverage-'));
  const began = performance.now();
  const ending = await runIn(copy, [path], {
    timeoutMs: firstRunMs,
    env: { NODE_V8_COVERAGE: coverage },
  });
  const took = performance.now() - began;
  const ran = await readCoverage(coverage, copy, files);
  await rm(coverage, { recursive: true });
  const runs = (file: string, offset: number) => (ran.get(file) ?? []).some(ranges => isRun(ranges, offset));
  return { test: { path, took, runs }, ending };
}

/** V8's account of a script: how often each part of it ran; a part lies inside of another, or beside it. */
type Range = { startOffset: number; endOffset: number; count: number };

/** For each of the files, the ranges of each process that loaded it. */
async function readCoverage(
  folder: string,
  copy: string,
  files: readonly string[],
): Promise<Map<string, Range[][]>> {
  const ran = new Map<string, Range[][]>();
  const urls = new Map(files.map(file => [pathToFileURL(join(copy, file)).href, file]));
  for (const name of await readdir(folder)) {
    const { result } = JSON.parse(await readFile(join(folder, name), 'utf8')) as {
      result: { url: string; functions: { ranges: Range[] }[] }[];
    };
    for (const { url, functions } of result) {
      const file = urls.get(url);
      if (!file) continue;
      ran.set(file, [...(ran.get(file) ?? []), functions.flatMap(({ ranges }) => ranges)]);
    }
  }
  return ran;
}

function isRun(ranges: readonly Range[], offset: number): boolean {
  const around = ranges.filter(one => one.startOffset <= offset && offset < one.endOffset);
  const size = ({ startOffset, endOffset }: Range) => endOffset - startOffset;
  return (around.sort((a, b) => size(a) - size(b))[0]?.count ?? 0) > 0;
}
