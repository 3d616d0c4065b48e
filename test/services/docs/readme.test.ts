import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { docsPages, readPage } from '../../support/docs.ts';

const path = join(import.meta.dirname, '../../../README.md');
const readme = readFileSync(path, 'utf8');
const pages = docsPages.slice(1);

test('README is a short front door: 8 KB at most', () => {
  assert.ok(statSync(path).size <= 8192, `${statSync(path).size} bytes`);
});

test('README leads to each page', () => {
  assert.ok(pages.length >= 14, pages.join());
  assert.deepEqual(
    pages.filter(page => !readme.includes(`](${page}`)),
    [],
  );
});

test('README has one configuration, one line for a host, and one for an ACME client', () => {
  assert.equal(readme.match(/^```ini$/gm)?.length, 1);
  for (const line of [/\bcurl .*http:\/\/quarry/g, /^ {4}certbot /gm])
    assert.equal(readme.match(line)?.length, 1, `${line}`);
  assert.match(readme, /^```mermaid$/m);
});

test('each program that README stands beside has its rows and its sources on a page', () => {
  const beside = readme.slice(readme.indexOf('## Beside others'), readme.indexOf('## Pages'));
  const names = [...beside.matchAll(/^\| (?:\*\*)?(\w[\w. -]+?)(?:\*\*)? \| (?!a host)/gm)].map(
    ([, name = '']) => name,
  );
  assert.deepEqual(names.sort(), [
    ...['CertMate', 'Caddy', 'Cert Warden', 'Quarry', 'acme-proxy', 'acme2certifier', 'step-ca'].sort(),
  ]);
  const [tables = '', sources = ''] = readPage('comparison.md').split('## Sources\n');
  for (const name of names) {
    assert.equal(tables.split(`\n| ${name} | `).length - 1, 2, `${name} has a row in both tables`);
    const source = sources.split('\n- ').find(one => one.replace(/^- /, '').startsWith(name));
    assert.ok(name === 'Quarry' || /\]\(https:/.test(source ?? ''), `${name} has a source`);
  }
});

for (const page of pages.map(one => one.slice(one.lastIndexOf('/') + 1)))
  test(`${page} begins with what it is for, and ends with what goes wrong`, () => {
    const text = readPage(page);
    const [title = '', first = ''] = text.split('\n\n');
    assert.match(title, /^# \S.*$/);
    assert.match(first, /^[A-Z`[]/, 'a paragraph, no heading, list or table');
    assert.match(first, /[Ff]or whoever/, 'says for whom');
    const last = text.slice(text.lastIndexOf('\n## '));
    assert.match(last, /^\n## What goes wrong\n/);
    assert.match(last, /^\| what you see \| why \| what to do \|$/m);
  });
