import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { documentedSections } from '../../../services/docs/asked-options.ts';
import { fillTables } from '../../../services/docs/option-tables.ts';
import { account, auth, loadText, refusal } from '../../shared/setup/load-text.ts';
import { readPages } from '../../support/pages.ts';
import { root } from '../../support/read-sources.ts';

// The tables of options, in the pages and beside the parsers.

const pages = readPages();
const headings = documentedSections.map(({ heading }) => heading);

for (const { heading, asked, rows } of documentedSections)
  test(`each option of ${heading} that its parser reads has a row, and each row such an option`, () => {
    assert.deepEqual(Object.keys(rows).toSorted(), asked.map(({ key }) => key).toSorted());
    for (const [key, { meaning }] of Object.entries(rows)) {
      assert.match(meaning, /^\S.*[^.\s]$/, key);
      assert.doesNotMatch(meaning, /repeatable|\|/, `${key}: the table knows it from the parser`);
    }
  });

test('each section that a file may have, and each type of verification, has its options told', async () => {
  const known = async (text: string) => {
    const [, names = ''] = /known: (.*)$/.exec(await refusal(`${text}\n${account}${auth}`)) ?? [];
    return names.split(', ');
  };
  const sections = (await known('[x]')).map(name => `[${name}]`);
  const types = (await known('[verification "a"]\ntype = x')).map(type => `[verification] type = ${type}`);
  assert.ok(sections.length >= 14 && types.length >= 8);
  assert.deepEqual(headings.toSorted(), [...sections, ...types].toSorted());
});

test('each table is on a page, as npm run docs makes it', () => {
  // rfc2136 is another word for dns01-dnsUpdate.
  const missing = headings.filter(
    heading =>
      !heading.endsWith(' rfc2136') &&
      !pages.some(({ text }) => text.includes(`<!-- options of ${heading}: made by npm run docs -->`)),
  );
  assert.deepEqual(missing, []);
  const outdated = pages.filter(({ path, text }) => fillTables(path, text) !== text);
  assert.deepEqual(
    outdated.map(({ path }) => `${path}: run npm run docs`),
    [],
  );
});

test('no page has a table of options that is written by hand', () => {
  const byHand = pages.filter(({ text }) =>
    /^\| option \|/m.test(text.replace(/<!-- options of [\s\S]*?<!-- end of options -->/g, '')),
  );
  assert.deepEqual(
    byHand.map(({ path }) => path),
    // Of quarry-get, and of the files of secrets.
    ['services/docs/hosts.md', 'shared/config/files.md'],
  );
});

test('the page for hosts tells of the options that quarry-get takes, and of no others', () => {
  const script = readFileSync(join(root, 'services/get/quarry-get'), 'utf8');
  const assigned = [...script.matchAll(/^options=['"](?:\$options)?([^'"]*)['"]$/gm)];
  const taken = assigned.flatMap(([, words = '']) => words.trim().split(' '));
  assert.ok(taken.length > 10, taken.join());
  const page = readFileSync(join(root, 'services/docs/hosts.md'), 'utf8');
  const [, table = ''] = /^\| option \| meaning \| default \|\n((?:\|.*\n)+)/m.exec(page) ?? [];
  const rows = [...table.matchAll(/^\| `([\w-]+)` \| .+ \| (.+) \|$/gm)];
  assert.deepEqual(rows.map(([, option]) => option).toSorted(), taken.toSorted());
  for (const [, option = '', otherwise = ''] of rows) {
    const [, value] = new RegExp(`\\b${option}=\\$\\{${option}:-(\\w+)\\}`).exec(script) ?? [];
    if (value !== undefined) assert.equal(otherwise, `\`${value}\``, option);
  }
});

test('the page on files names each option that may come from a file of its own', () => {
  const page = readFileSync(join(root, 'shared/config/files.md'), 'utf8');
  const secrets = documentedSections.flatMap(({ asked }) => asked.flatMap(one => one.fileKey ?? []));
  assert.ok(secrets.length > 8, secrets.join());
  assert.deepEqual(
    secrets.filter(key => !page.includes(`\`${key}\``)),
    [],
  );
});

test('a table tells of the parser what is repeatable, and what may come from a file', () => {
  const filled = fillTables(
    'shared/trail/a.md',
    '<!-- options of [auth]: made by npm run docs -->\nold\n<!-- end of options -->\n',
  );
  assert.match(filled, /^\| `hmac_key` or `hmac_key_file` \| [^|]*; repeatable \|/m);
  assert.match(filled, /^\| `slots` \| (?!.*repeatable).*\]\(\.\.\/queue\/turns\.md#slots-of-a-block\)/m);
  assert.ok(!filled.includes('old'));
  assert.throws(
    () =>
      fillTables(
        'a.md',
        '<!-- options of [x]: made by npm run docs --><!-- end of options -->'.replace('><', '>\n<'),
      ),
    /a\.md: there is no section \[x\]/,
  );
});

test('what the tables call the default is what counts where the option is absent', async () => {
  const config = await loadText(`${account}${auth}[storage "a"]\ntype = redis\n`);
  const told = (heading: string, key: string) =>
    documentedSections.find(one => one.heading === heading)?.rows[key]?.otherwise;
  assert.equal(told('[worker]', 'concurrency'), `\`${config.worker.concurrency}\``);
  assert.equal(told('[mgmt]', 'wait'), `\`${config.mgmt.wait}\``);
  assert.equal(told('[redis]', 'prefix'), `\`${config.redis.prefix}\``);
  assert.equal(told('[trail]', 'keep'), `\`${config.trail.keep}\``);
  assert.equal(told('[admin]', 'listener'), '`127.0.0.1:9313`');
  const storage = config.storages.get('a');
  assert.ok(storage?.type === 'redis');
  assert.equal(told('[storage]', 'renew-within'), `\`${storage.renewWithin}\``);
});
