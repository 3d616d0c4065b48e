import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acmeActions, acmeCommand } from '../../../services/cli/acme/acme.ts';
import { loadCommands } from '../../../services/cli/commands.ts';
import { readForm } from '../../../services/cli/form.ts';

for (const [name, { usage, forms, summary, example }] of Object.entries(await loadCommands()))
  test(`quarry ${name} says what it does, with an example`, () => {
    for (const form of [...usage, ...(forms ?? [])]) assert.match(form, new RegExp(`^${name}( |$)`));
    assert.ok(summary.length > 10 && !summary.includes('\n'));
    assert.match(example, new RegExp(`\\bquarry ${name}\\b`));
  });

/** The words of an example, as a shell would split them. */
const split = (line: string) =>
  (line.replace(/ >\S+$/, '').match(/'[^']*'|\S+/g) ?? []).map(word => word.replace(/^'|'$/g, ''));

for (const [index, { usage, example }] of acmeActions.entries())
  test(`the example of quarry acme ${usage} is one of it`, () => {
    const usages = acmeActions.map(one => one.usage);
    assert.equal(readForm('quarry acme', usages, split(example)).index, index);
  });

test('quarry acme … --help tells of what the words before it lead to', () => {
  const help = (...words: string[]) => acmeCommand.describe?.([...words, '--help']) ?? '';
  const shown = (text: string) => [
    ...text.matchAll(/^quarry acme (.*)\n {4}.+\n {4}For example: quarry acme /gm),
  ];
  assert.equal(shown(help()).length, acmeActions.length);
  const ofCertificates = ['cert revoke FILE [--reason REASON]', 'cert renewal-info FILE'];
  assert.deepEqual(
    shown(help('reg', 'key', 'id', 'server', 'cert')).map(([, usage]) => usage),
    ofCertificates.map(words => `reg KEY-FILE ACCOUNT-ID SERVER ${words}`),
  );
  assert.equal(shown(help('key', 'create', 'a')).length, 1);
  assert.equal(shown(help('what')).length, acmeActions.length);
});
