import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import { openReach, openShares } from '../../../shared/admission/shares.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import { loadText } from '../setup/load-text.ts';

const caNames = new Map([
  ['default', 'ca.example'],
  ['second', 'ca.example'],
  ['elsewhere', 'other.example'],
]);
const accounts = [...caNames.keys()]
  .map(name => `[account${name === 'default' ? '' : ` "${name}"`}]\ndir = ${name}\n`)
  .join('');

const auth = (name: string, domains: string, more = '') =>
  `[auth "${name}"]\nall = yes\n${domains
    .split(' ')
    .map(domain => `domain = ${domain}\n`)
    .join('')}account = default\n${more}\n`;

async function sharesOf(...blocks: string[]) {
  const config = await loadText(accounts + blocks.join(''));
  const shareOf = openShares(config.auth, caNames);
  return (block: string, names: string | string[], domains: string[], account = 'default') => {
    const identifiers = [names].flat().map((value): Identifier => ({ type: 'dns', value }));
    const share = shareOf?.({ block, account, identifiers }, domains);
    if (!share) return share;
    return { ...share, domains: Object.fromEntries(share.domains ?? []) };
  };
}

test('openShares() divides nothing where no block has a share', async () => {
  const shareOf = await sharesOf(auth('a', '*'), auth('b', '*'));
  assert.equal(shareOf('a', 'a.example.org', ['example.org']), undefined);
});

test('openShares() divides a registered domain between the blocks that can have names of it', async () => {
  const shareOf = await sharesOf(
    auth('web', '*.example.org', 'share = 25%'),
    auth('mail', 'mail.example.org *.example.net', 'share = 10%'),
    auth('rest', '*.example.org'),
    auth('others', '*.example.org *.example.com'),
  );
  const at = (block: string, domain: string) => shareOf(block, `x.${domain}`, [domain])?.domains;
  assert.deepEqual(at('web', 'example.org'), { 'example.org': 0.25 });
  assert.deepEqual(at('mail', 'example.org'), { 'example.org': 0.1 });
  for (const block of ['rest', 'others']) {
    const { 'example.org': part = 0 } = at(block, 'example.org') ?? {};
    assert.ok(Math.abs(part - 0.65) < 1e-9, `${block}: ${part}`);
  }
  assert.deepEqual(at('mail', 'example.net'), {}, 'nobody else can use that up');
  assert.deepEqual(at('others', 'example.com'), {});
  const both = shareOf('mail', ['mail.example.org', 'a.example.net'], ['example.org', 'example.net']);
  assert.deepEqual(both, { name: 'mail', part: 0.1, domains: { 'example.org': 0.1 }, rivalsForSet: 0 });
});

test('openShares() counts for a set the other shares that may have all of its names', async () => {
  const shareOf = await sharesOf(
    auth('web', '*.example.org', 'share = 25%'),
    auth('mail', 'mail.example.org', 'share = 10%'),
    auth('rest', '*'),
    auth('others', '*'),
  );
  const rivals = (block: string, ...names: string[]) => shareOf(block, names, [])?.rivalsForSet;
  assert.equal(rivals('web', 'mail.example.org'), 2);
  assert.equal(rivals('web', 'mail.example.org', 'a.example.org'), 1);
  assert.equal(rivals('rest', 'a.example.org'), 1, 'all that have no share are one');
  assert.equal(rivals('rest', 'a.example.com'), 0);
});

test('openShares() divides what a CA counts over its accounts between the blocks of all of them, and of no other CA', async () => {
  const shareOf = await sharesOf(
    auth('web', '*.example.org', 'share = 80%'),
    auth('mail', '*.example.org', 'account = second\nshare = 70%').replace('account = default\n', ''),
    auth('far', '*.example.org', 'account = elsewhere').replace('account = default\n', ''),
  );
  const at = (block: string, account: string) => shareOf(block, 'a.example.org', ['example.org'], account);
  assert.deepEqual(at('web', 'default')?.domains, { 'example.org': 0.8 / 1.5 }, 'no more than there is');
  assert.deepEqual(at('mail', 'second')?.domains, { 'example.org': 0.7 / 1.5 });
  assert.deepEqual(at('far', 'elsewhere'), { name: '*', part: undefined, domains: {}, rivalsForSet: 0 });
});

test('openReach() tells whether a glob matches a registered domain or a name below it', () => {
  const nothing = { name: 'a', ips: [], all: true, addresses: [], verifications: [], challenges: [] };
  const reach = (domain: string, more: Partial<AuthBlockConfig> = {}) =>
    openReach({ ...nothing, domains: [domain], storage: 'none', accounts: [], ...more });
  for (const glob of [
    ...['*', '*.org', '*.example.org', 'example.org', 'EXAMPLE.org', 'www.example.org', 'a.b?.example.org'],
    ...['*example.org', 'w*le.org', '[a-z]xample.org', '?.example.org', '*.???????.org'],
  ])
    assert.equal(reach(glob)('example.org'), true, glob);
  for (const glob of [
    '*.example.com',
    'badexample.org',
    'ample.org',
    'org',
    '*-example.org',
    '[!e]xample.org',
  ])
    assert.equal(reach(glob)('example.org'), false, glob);
  assert.equal(reach('*.bücher.example')('xn--bcher-kva.example'), true);
  assert.equal(reach('a.example', { addresses: ['192.0.2.0/24'] })('192.0.2.1'), true);
  assert.equal(reach('a.example', { ownNames: ['dns'] })('example.org'), true);
});
