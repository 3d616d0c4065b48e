import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePrefer } from '../../../services/intake/routes/come-back.ts';

const plain = { async: false, wait: undefined };

for (const [header, expected] of [
  ['', plain],
  ['return=minimal', plain],
  ['respond-async', { async: true, wait: undefined }],
  ['Respond-Async', { async: true, wait: undefined }],
  ['wait=10', { async: true, wait: 10 }],
  ['wait=0', { async: true, wait: 0 }],
  ['wait = "20"', { async: true, wait: 20 }],
  ['respond-async, wait=5', { async: true, wait: 5 }],
  ['wait=5; note=x , return=minimal, respond-async', { async: true, wait: 5 }],
  ['respond-async; wait=5', { async: true, wait: undefined }],
  ['wait=5, wait=9', { async: true, wait: 5 }],
  ['wait', plain],
  ['wait=', plain],
  ['wait=-5', plain],
  ['wait=1.5', plain],
  ['wait=soon', plain],
  ['wait=99999999999', plain],
  [',,;=,', plain],
] as const)
  test(`parsePrefer() reads ${JSON.stringify(header)}`, () => {
    assert.deepEqual(parsePrefer(header), expected);
  });
