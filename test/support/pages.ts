import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './read-sources.ts';

// The pages for people, each *.md of the project, as the tests that compare them with the code read them.

export type Page = { path: string; text: string };

/** A block between fences, without its indentation. */
export type Block = {
  page: string;
  /** Of its opening fence, from 1 on. */
  line: number;
  /** What the fence says, such as `sh`; '' where it says nothing. */
  language: string;
  text: string;
  /** The heading that it stands below, without its marks; '' above the first. */
  heading: string;
  /** What the comment in the line before its fence says; '' where there is none. */
  mark: string;
};

/** Of the project itself: what is installed or built is not its own. */
export const ownFiles = (...patterns: string[]): string[] =>
  globSync(patterns, { cwd: root, exclude: ['node_modules', 'dist', '.git', '**/target'] }).sort();

export const readPages = (): Page[] =>
  ownFiles('**/*.md', '.github/**/*.md').map(path => ({
    path,
    text: readFileSync(join(root, path), 'utf8'),
  }));

const fence = /^( *)(```+)(\S*).*\n((?:.*\n)*?)\1\2 *$/gm;

export function readBlocks({ path, text }: Page): Block[] {
  return [...text.matchAll(fence)].map(({ index, 1: indent = '', 3: language = '', 4: block = '' }) => {
    const before = text.slice(0, index);
    const heading =
      withoutBlocks(before)
        .match(/(?<=^#+ +).*/gm)
        ?.at(-1) ?? '';
    const [, mark = ''] = /<!-- ([^\n]*) -->\n+ *$/.exec(before) ?? [];
    const line = before.split('\n').length;
    return {
      page: path,
      line,
      language,
      text: block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      heading,
      mark,
    };
  });
}

/**
 * The one block of a page in this language that holds a text, as it stands there: so a test takes what it
 * runs, and `blocks.test.ts` knows that it does.
 */
export function shownBlock(path: string, language: string, holding = ''): string {
  const page = { path, text: readFileSync(join(root, path), 'utf8') };
  const found = readBlocks(page).filter(one => one.language === language && one.text.includes(holding));
  assert.equal(found.length, 1, `${path} has one block of ${language} with ${holding || 'anything'}`);
  return found[0]?.text ?? '';
}

/** The text with each block between fences left out; lines keep their numbers. */
export const withoutBlocks = (text: string): string =>
  text.replace(fence, block => block.replace(/[^\n]/g, ''));

/** Besides, without what is between backticks: a link in it is none. */
export const withoutCode = (text: string): string =>
  withoutBlocks(text).replace(/(`+)(?!`)[^`]*?\1/g, code => code.replace(/[^\n]/g, ' '));

/** What may follow a # in a link to the page, as GitHub makes it of the headings. */
export function readAnchors({ text }: Page): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of withoutBlocks(text).matchAll(/^#{1,6} +(.*?)(?: +#+)?$/gm)) {
    const anchor = toAnchor(heading);
    let [free, count] = [anchor, 0];
    while (anchors.has(free)) free = `${anchor}-${++count}`;
    anchors.add(free);
  }
  for (const [, id = ''] of text.matchAll(/<a (?:id|name)="([^"]+)">/g)) anchors.add(id);
  return anchors;
}

const toAnchor = (heading: string) =>
  heading
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/(^|\W)_(\S(?:[^_]*\S)?)_(?=\W|$)/g, '$1$2')
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
    .replaceAll(' ', '-');

/** A `quarry` command that a page shows; `words` is what follows `quarry`, `mark` that of its block. */
export type ShownCommand = { page: string; line: number; words: string[]; mark: string };

/** Those in blocks of a shell, in lines with four spaces before them, and behind the `$` of a prompt. */
export function readCommands(page: Page): ShownCommand[] {
  const inBlocks = readBlocks(page).flatMap(({ line, language, text, mark }) => {
    const isShell = ['sh', 'bash'].includes(language);
    const shown = isShell ? text : text.replace(/^(?!\$ ).*$/gm, '').replace(/^\$ /gm, '');
    return findCommands(shown).map(command => ({ ...command, line: line + command.line, mark }));
  });
  const indented = withoutBlocks(page.text).replace(/^(?! {4}(?:npx )?quarry ).*$/gm, '');
  return [...inBlocks, ...findCommands(indented)].map(command => ({ mark: '', page: page.path, ...command }));
}

/** `quarry check main.ini` in the text between blocks. */
export function readNamedCommands(page: Page): ShownCommand[] {
  const text = withoutBlocks(page.text);
  return [...text.matchAll(/`([^`\n]*\bquarry [^`]+)`/g)].flatMap(({ index, 1: code = '' }) => {
    const line = text.slice(0, index).split('\n').length;
    const unescaped = code.replaceAll('\\|', '|'); // as in a table
    return findCommands(unescaped).map(({ words }) => ({ page: page.path, line, words, mark: '' }));
  });
}

/** Of lines of a shell, each command that is Quarry's. */
const findCommands = (script: string) =>
  readShellCommands(script).flatMap(({ line, words }) => {
    const [first, second, ...rest] = words;
    if (first === 'quarry') return [{ line, words: words.slice(1) }];
    return first === 'npx' && second === 'quarry' ? [{ line, words: rest }] : [];
  });

/** Each command of a script, but for what is only a comment. */
export const readShellCommands = (script: string): { line: number; words: string[] }[] =>
  script.split('\n').flatMap((line, index) =>
    splitCommands(line.replace(/(^| +)#.*$/, ''))
      .filter(words => words.length > 0)
      .map(words => ({ line: index + 1, words })),
  );

/** The commands of a line, as a shell would split them; what is written to files is left out. */
function splitCommands(line: string): string[][] {
  const commands: string[][] = [[]];
  for (const [token] of line.matchAll(/'[^']*'|"[^"]*"|[|&;()]+|[<>]+ ?[^\s|&;()]*|[^\s'"|&;()<>]+/g)) {
    if (/^[|&;()]/.test(token)) commands.push([]);
    else if (!/^[<>]/.test(token)) commands.at(-1)?.push(token.replace(/^(['"])(.*)\1$/, '$2'));
  }
  return commands;
}
