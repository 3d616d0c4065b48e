import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deliveryId, toJson, toText, toTitle } from '../../../shared/notify/message.ts';
import { aMessage } from './a-message.ts';

for (const [said, kind, names, daysLeft] of [
  ['renewal failed: a.example', 'renewal-failed', ['a.example'], undefined],
  ['renewal failed', 'renewal-failed', [], undefined],
  [
    'renewed but not fetched: a.example and 2 more',
    'renewed-not-fetched',
    ['a.example', 'b', 'c'],
    undefined,
  ],
  ['the CA explains when to renew: a.example', 'renewal-explained', ['a.example'], undefined],
  ['events of the trail wait in Redis', 'trail-unsealed', [], undefined],
  ['a storage does not take certificates', 'storage-failed', [], undefined],
  ['account paused: a.example', 'account-paused', ['a.example'], undefined],
  ['expires in 13 days: a.example', 'expires-soon', ['a.example'], 13.9],
  ['expires in 2 days: a.example', 'expires-soon', ['a.example'], 2],
  ['expires in a day: a.example', 'expires-soon', ['a.example'], 1],
  ['expires in less than a day: a.example', 'expires-soon', ['a.example'], 0.9],
  ['has expired: a.example', 'expires-soon', ['a.example'], -0.1],
] as const) {
  test(`toTitle() says ${said}`, () => {
    assert.equal(toTitle({ kind, names: [...names], daysLeft }), said);
  });
}

test('toJson() is one line that holds all of a message, with the time as people write it', () => {
  const text = toJson({ ...aMessage, kind: 'expires-soon', daysLeft: 3 });
  assert.match(text, /^[^\n]+\n$/);
  assert.deepEqual(JSON.parse(text), {
    ...{
      id: 'm1-0',
      matter: 'm1',
      kind: 'expires-soon',
      title: 'expires in 3 days: www.example.org and 1 more',
    },
    text: 'expires in 3 days: www.example.org and 1 more: no responder could be reached',
    ...{ subject: 'stored/disk/4f', names: ['www.example.org', 'example.org'], daysLeft: 3 },
    ...{ detail: 'no responder could be reached', at: '2026-11-01T12:00:00.000Z' },
  });
});

test('toText() tells people all names', () => {
  const text = toText(aMessage);
  for (const part of [
    'renewal failed: www.example.org and 1 more\n',
    '\n  example.org\n',
    '\nno responder could',
  ]) {
    assert.ok(text.includes(part), text);
  }
});

test('deliveryId() tells blocks apart, and is fit for a job and for a Message-ID', () => {
  const ids = ['ops', 'ops:1', 'ops 1', 'ö'].map(block => deliveryId(aMessage, block));
  assert.equal(new Set(ids).size, 4);
  for (const id of ids) assert.match(id, /^[\w-]+$/);
});
