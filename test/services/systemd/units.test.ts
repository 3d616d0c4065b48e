import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findCommand } from '../../support/find-command.ts';

const root = join(import.meta.dirname, '../../..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const units = ['quarry.service', 'quarry@.service'];

const analyze = findCommand('systemd-analyze');
const needsAnalyze = { skip: analyze ? false : 'there is no systemd-analyze' };

for (const unit of units)
  test(`systemd finds ${unit} exposed by 2.0 at most`, needsAnalyze, () => {
    const options = ['--offline=yes', '--no-pager', '--threshold=20'];
    const said = execFileSync(`${analyze}`, ['security', ...options, join(root, 'services/systemd', unit)], {
      encoding: 'utf8',
    });
    assert.match(said, /Overall exposure level for \S+: [12]\.\d/);
  });

/** What a unit says, without its comments. */
const toLines = (unit: string) =>
  read(join('services/systemd', unit))
    .split('\n')
    .filter(line => !line.startsWith('#') && line !== '');

test('the unit of one role is that of all but for its command, and a Redis that it comes after', () => {
  const [all, one] = units.map(unit => toLines(unit)) as [string[], string[]];
  assert.deepEqual(
    one.filter(line => !all.includes(line)),
    [
      'Description=Quarry, the %i',
      'After=network-online.target redis-server.service valkey-server.service',
      'ExecStart=/usr/bin/quarry %i /etc/quarry/main.ini',
    ],
  );
  assert.equal(one.length, all.length);
});

test('the page shows the unit as it is', () => {
  const page = read('services/cli/systemd.md');
  assert.ok(page.includes(`\`\`\`ini\n${read('services/systemd/quarry.service')}\`\`\``));
});
