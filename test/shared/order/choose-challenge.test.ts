import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AcmeAuthorization } from '../../../shared/acme/client.ts';
import { authorizedIdentifier, chooseChallenge } from '../../../shared/order/choose-challenge.ts';
import { scriptCa } from './scripted-ca.ts';

const { solver } = scriptCa();
const offer = (type: string, token = 'a-token') => ({
  type,
  token,
  url: `https://ca.example/${type}`,
  status: 'pending',
});

function authorization(challenges: AcmeAuthorization['challenges'], wildcard = false): AcmeAuthorization {
  const identifier = { type: 'dns', value: 'a.example' } as const;
  return { url: 'https://ca.example/authz', status: 'pending', identifier, wildcard, challenges };
}

test("chooseChallenge() takes the first challenge of the solver's type that has a token", () => {
  const offered = [offer('dns-01'), offer('http-01', ''), offer('http-01'), offer('http-01', 'later')];
  assert.equal(chooseChallenge(authorization(offered), solver), offered[2]);
});

test('chooseChallenge() says what the CA offers and what there is to answer with', () => {
  const offered = authorization([offer('dns-01'), offer('tls-alpn-01')]);
  assert.throws(() => chooseChallenge(offered, solver), {
    code: 'misconfigured',
    message: 'for a.example the CA offers dns-01, tls-alpn-01, but verification "http" answers http-01',
  });
  assert.throws(() => chooseChallenge(authorization([], true), undefined), {
    code: 'misconfigured',
    message: 'for *.a.example the CA offers nothing, but no verification is configured',
  });
});

test("authorizedIdentifier() gives a wildcard's authorization its asterisk back", () => {
  assert.deepEqual(authorizedIdentifier(authorization([], true)), { type: 'dns', value: '*.a.example' });
  assert.deepEqual(authorizedIdentifier(authorization([])), { type: 'dns', value: 'a.example' });
});
