import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './read-sources.ts';

// Pages whose tables name the tests that show what they say.

type Row = { line: string; cells: string[] };
type Named = { file: string; name: string };

/** The rows of all tables of a page that have these heads. @param path from the root of the repository */
export function readRows(path: string, heads: readonly string[]): Row[] {
  return readFileSync(join(root, path), 'utf8')
    .split('\n')
    .filter(line => line.startsWith('|') && !/^\|[- |]+\|$/.test(line))
    .map(line => ({
      line,
      cells: line
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim()),
    }))
    .filter(({ cells }) => cells.join() !== heads.join());
}

/** `file`: a name; `file`: another name */
export const namedBy = (cell: string): Named[] =>
  cell.split(/; (?=`)/).map(part => {
    const [, file = '', name = ''] = /^`(test\/[^`]+\.test\.ts)`: (.+)$/.exec(part) ?? [];
    return { file, name };
  });

/** Whether a file has a test of exactly this name, which it writes as one literal. */
export function hasTest({ file, name }: Named): boolean {
  if (name === '' || !existsSync(join(root, file))) return false;
  const text = readFileSync(join(root, file), 'utf8');
  const literals = text.matchAll(/\btest\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`([^`]*)`)/g);
  return [...literals].some(([, single, double, template]) =>
    template === undefined
      ? (single ?? double ?? '').replace(/\\(.)/g, '$1') === name
      : toPattern(template).test(name),
  );
}

const escaped = (text: string) => text.replace(/[^\w ]/g, '\\$&');

/** What a test that is made for each row of a table is called: anything may stand for its `${}`. */
const toPattern = (template: string) =>
  new RegExp(
    `^${template
      .split(/\$\{[^}]*\}/)
      .map(escaped)
      .join('.+')}$`,
  );
