import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hideIn, hideInReason } from '../../../shared/config/hidden.ts';

const hook = { written: '<hook>', value: 'https://hooks.example.org/T0123/B4567' };

test('hideIn() shows what was asked for in place of what came in, the longest first', () => {
  const host = { written: '<host>', value: 'hooks.example.org' };
  assert.equal(hideIn(`posts to ${hook.value} at ${host.value}`, [host, hook]), 'posts to <hook> at <host>');
});

test('hideIn() leaves what is too short to be a secret, as it stands anywhere by chance', () => {
  assert.equal(hideIn('a number from 1 to 100', [{ written: '<n>', value: '1' }]), 'a number from 1 to 100');
});

test('hideInReason() gives a reason that says nothing of what came in as it is', () => {
  const reasons = [
    'is not an https:// URL',
    'must be https:// (http:// only for this host itself)',
    'is empty',
  ];
  for (const reason of reasons) assert.equal(hideInReason(reason, [hook]), reason);
});

test('hideInReason() gives no reason that repeats a part of what came in, in whatever case', () => {
  for (const reason of ['no host HOOKS.EXAMPLE', '/T0123/B4 is no path', 'T0123/B4567'])
    assert.equal(hideInReason(reason, [hook]), 'cannot be used with what <hook> stands for');
});
