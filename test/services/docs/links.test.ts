import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { ownFiles, readAnchors, readPages, withoutCode } from '../../support/pages.ts';
import { root } from '../../support/read-sources.ts';

const pages = readPages();
const anchorsOf = new Map(pages.map(page => [page.path, readAnchors(page)]));

const lineAt = (text: string, index: number) => text.slice(0, index).split('\n').length;

/** Why a link leads nowhere; undefined where it leads somewhere. */
function findFault(from: string, target: string): string | undefined {
  if (/^[a-z]+:/i.test(target)) return findOutsideFault(target);
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? from : normalize(join(dirname(from), path));
  if (file.startsWith('..')) return 'leaves the project';
  if (!existsSync(join(root, file))) return `there is no ${file}`;
  if (anchor === undefined) return undefined;
  return anchorsOf.get(file)?.has(anchor) ? undefined : `${file} has no heading #${anchor}`;
}

/** What can be known of it without asking. */
function findOutsideFault(target: string): string | undefined {
  if (target.startsWith('mailto:')) return target.includes('@') ? undefined : 'is no address';
  const url = URL.parse(target);
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') return 'is neither https: nor http:';
  return /[^!-~]/.test(target) ? 'has characters that a URL cannot have' : undefined;
}

/** `](target)`, `[name]: target`, `<https://…>` and `href="…"`, with the line. */
function readLinks(text: string): { line: number; target: string }[] {
  const outsideCode = withoutCode(text);
  const found = outsideCode.matchAll(
    /\]\(<?([^()\s>]+(?:\([^()\s]*\)[^()\s>]*)*)>?(?: "[^"]*")?\)|^\[[^\]]+\]: +(\S+)|<(https?:[^>]*)>|\b(?:href|src)="([^"]*)"/gm,
  );
  return [...found].map(({ index, 1: inline, 2: defined, 3: bare, 4: html }) => ({
    line: lineAt(outsideCode, index),
    target: inline ?? defined ?? bare ?? html ?? '',
  }));
}

test('each link of each page leads to a file that is there, and to a heading that it has', () => {
  const links = pages.flatMap(({ path, text }) => readLinks(text).map(link => ({ path, ...link })));
  assert.ok(links.length > 200, `${links.length} links`);
  const dead = links.flatMap(({ path, line, target }) => {
    const fault = findFault(path, target);
    return fault === undefined ? [] : [`${path}:${line}: ${target}: ${fault}`];
  });
  assert.deepEqual(dead, []);
});

const named = /(?<![\w./*\]-])(?:\.\.\/)*((?:[\w.-]+\/)*[\w-]+\.md)\b(#[\w-]+)?/g;

test('each page that a source, a script or a configuration names is there, with the heading', () => {
  const files = ownFiles(
    '{shared,services,test}/**/*.{ts,js,ini,conf,sh,service}',
    '*.{yaml,json}',
    'Dockerfile',
  );
  const dead = files
    .map(file => ({ file, text: readNaming(file) }))
    .filter(({ text }) => text.includes('.md'))
    .flatMap(({ file, text }) =>
      [...text.matchAll(named)]
        .filter(([, page = '', anchor]) => !isThere(page, anchor))
        .map(({ 0: whole, index }) => `${file}:${lineAt(text, index)}: ${whole}`),
    );
  assert.deepEqual(dead, []);
});

/** A test may make up pages, but not in its comments. */
function readNaming(file: string): string {
  const text = readFileSync(join(root, file), 'utf8');
  return file.startsWith('test/') ? text.replace(/^(?! *(?:\/\/|\/?\*)).*$/gm, '') : text;
}

/** A page is named by its path from the root, or by the last words of it. */
function isThere(page: string, anchor = '#'): boolean {
  const found = [...anchorsOf].filter(([path]) => `/${path}`.endsWith(`/${page}`));
  return found.some(([, anchors]) => anchor === '#' || anchors.has(anchor.slice(1)));
}

test('headings become anchors as GitHub makes them', () => {
  const text = [
    '# `GET /sign/<id>`: a result',
    '## What is shared, and why',
    '## What is shared, and why',
    '```\n# a comment\n```',
    '## [limits](shared/limits.md) of _all_ CAs',
    '## RFC 8555 §7.1 — `key_file`',
    '<a id="of-old"></a>',
  ].join('\n');
  assert.deepEqual(
    [...readAnchors({ path: 'a.md', text })],
    [
      'get-signid-a-result',
      'what-is-shared-and-why',
      'what-is-shared-and-why-1',
      'limits-of-all-cas',
      'rfc-8555-71--key_file',
      'of-old',
    ],
  );
});

test('links are found in every form, but not in code', () => {
  const text =
    '[a](b.md) [`[c]`](d.md#e "f") `[g](h.md)`\n```\n[i](j.md)\n```\n[k]: l.md\n<https://m.example> <img src="n">\n[o](p_(q))';
  assert.deepEqual(
    readLinks(text).map(({ line, target }) => `${line} ${target}`),
    ['1 b.md', '1 d.md#e', '5 l.md', '6 https://m.example', '6 n', '7 p_(q)'],
  );
});

test('a dead link is one without a file, without a heading, out of the project, or of no known form', () => {
  assert.equal(findFault('README.md', 'CONTRIBUTING.md#commands'), undefined);
  assert.equal(findFault('README.md', 'https://letsencrypt.org/docs/'), undefined);
  const dead = ['nowhere.md', 'CONTRIBUTING.md#no-such', '../x.md', 'ftp://x', 'https://x/„', 'mailto:x'];
  assert.ok(dead.every(target => findFault('README.md', target) !== undefined));
});
