import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccountChoice } from '../../../shared/admission/account-choice.ts';
import { openAdmission } from '../../../shared/admission/admit.ts';
import { blocksForUnusual } from '../../../shared/admission/unusual-keys.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import { hmacBlock } from '../../services/intake/open-intake.ts';

const why = "the key's curve is P-521";
const any = (account: string): AccountChoice => ({ account, anyKey: true });
const usual = (account: string): AccountChoice => ({ account });
const dns = (value: string): Identifier[] => [{ type: 'dns', value }];

/** What is left of blocks for `domain` each, in their order. */
function left(names: Identifier[], ...blocks: [domain: string, accounts: AccountChoice[]][]) {
  const admission = openAdmission(
    blocks.map(([domain, accounts]) => ({ ...hmacBlock, name: domain, domains: [domain], accounts })),
  );
  return blocksForUnusual(admission, [...admission.blocks], names, why).map(({ name, accounts }) => [
    name,
    accounts.map(({ account }) => account),
  ]);
}

test('an unusual key is for the accounts of a block that take any, in their order', () => {
  const accounts = [usual('a'), any('b'), usual('c'), any('d')];
  assert.deepEqual(left(dns('x.org'), ['*.org', accounts], ['x.org', [usual('a')]]), [['*.org', ['b', 'd']]]);
  assert.deepEqual(left(dns('x.org'), ['x.org', [usual('a')]], ['*.org', [any('b')]]), [['*.org', ['b']]]);
});

test('where no account takes an unusual key, the key is what is wrong, whatever the names are', () => {
  for (const names of [dns('x.org'), dns('x.net')])
    assert.throws(() => left(names, ['*.org', [usual('a')]]), { code: 'badCsr', message: why });
});

test('where only blocks that do not take the key have the names, the key is what is wrong', () => {
  const blocks: Parameters<typeof left>[1][] = [
    ['*.org', [usual('a')]],
    ['*.net', [any('b')]],
  ];
  assert.throws(() => left(dns('x.org'), ...blocks), { code: 'badCsr', message: why });
  // No block has the names: that is told by those who admit them.
  assert.deepEqual(left(dns('x.com'), ...blocks), [['*.net', ['b']]]);
});
