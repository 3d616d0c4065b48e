import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guess } from '../../../shared/config/guess.ts';

test('of a word that is not known the nearest one is told, but none that is far from it', () => {
  const known = ['ip', 'domain', 'hmac_key'];
  assert.equal(guess('domian', known, 'known'), ', did you mean domain? known: ip, domain, hmac_key');
  assert.equal(guess('colour', known, 'known'), '; known: ip, domain, hmac_key');
});
