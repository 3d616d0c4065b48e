import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readPage } from '../../support/docs.ts';
import { account, auth, refusal } from '../setup/load-text.ts';

// A new kind of solver is its own file, a line of kinds.ts, its page, and a row of the table in proofs.md.

const root = join(import.meta.dirname, '../../..');

/** Every `type`, as the refusal of an unknown one lists them. */
const [, known = ''] =
  /known: (.*)$/.exec(await refusal(`[verification "v"]\ntype = x\n${account}${auth}`)) ?? [];
const types = known.split(', ');

/** Without comments and the names of files. */
const sources = ['services', 'shared'].flatMap(folder =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    // `quarry init` writes configurations.
    .filter(name => name.endsWith('.ts') && !name.startsWith('cli/init/'))
    .map(name => {
      const text = readFileSync(join(root, folder, name), 'utf8');
      return { path: join(folder, name), code: text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '') };
    }),
);

function filesThatName(type: string): string[] {
  // A word as common as "program" says nothing unless it is in quotes.
  const name = new RegExp(type === 'program' ? `'${type}'` : `(?<![\\w./-])${type}(?![\\w.-])`);
  return sources.filter(({ code }) => name.test(code)).map(({ path }) => path);
}

/** Other files than the kind's own and the table. */
const others: Record<string, number> = {
  'dns-persist-01': 4, // the challenge, too, has that name
};

test('the table lists all kinds', () => {
  assert.ok(types.length >= 8 && types.includes('http01'), known);
});

for (const type of types) {
  test(`type = ${type} is written in its own file and in the table alone`, () => {
    const table = 'shared/solver/kinds.ts';
    const files = filesThatName(type).filter(path => path !== table);
    const own = files.filter(path => path.startsWith('shared/solver/'));
    assert.ok(own.length <= 1, own.join());
    assert.ok(files.length - own.length <= (others[type] ?? 0), files.join());
  });

  test(`proofs.md leads to the page of type = ${type}`, () => {
    const row = readPage('proofs.md')
      .split('\n')
      .find(line => line.startsWith('| [`') && line.split(' | ')[0]?.includes(`\`${type}\``));
    const [, page = ''] = /\]\(\.\.\/\.\.\/(shared\/solver\/[\w-]+\.md)\)/.exec(row ?? '') ?? [];
    assert.ok(page !== '' && existsSync(join(root, page)), `${row}`);
  });
}
