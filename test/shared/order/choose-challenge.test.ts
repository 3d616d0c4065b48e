import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AcmeAuthorization } from '../../../shared/acme/objects.ts';
import { authorizedIdentifier, chooseChallenge, refuseHopeless } from '../../../shared/order/challenges.ts';
import type { Solver } from '../../../shared/solver/solver.ts';
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
  assert.equal(chooseChallenge(authorization(offered), [solver]).challenge, offered[2]);
});

test('chooseChallenge() goes by the preference, and passes over what the CA does not offer or the solver cannot prove', () => {
  const dns: Solver = { ...solver, name: 'dns', challengeType: 'dns-01', canProve: () => true };
  const both = [offer('http-01'), offer('dns-01')];
  const nameOf = (offered: typeof both, solvers: Solver[], wildcard = false) =>
    chooseChallenge(authorization(offered, wildcard), solvers).solver.name;
  assert.equal(nameOf(both, [dns, solver]), 'dns');
  assert.equal(nameOf(both, [solver, dns]), 'http');
  assert.equal(nameOf([offer('http-01')], [dns, solver]), 'http');
  assert.equal(nameOf(both, [solver, dns], true), 'dns');
});

test('chooseChallenge() takes dns-persist-01 without a token, where the CA names itself', () => {
  const persist: Solver = {
    ...solver,
    name: 'persist',
    challengeType: 'dns-persist-01',
    canProve: () => true,
  };
  const named = { ...offer('dns-persist-01', ''), issuerDomainNames: ['ca.example'] };
  const choose = (...offered: AcmeAuthorization['challenges']) =>
    chooseChallenge(authorization(offered), [persist, solver]).challenge;
  assert.equal(choose(offer('http-01'), named), named);
  assert.equal(choose(offer('dns-persist-01'), offer('http-01')).type, 'http-01');
});

test('refuseHopeless() names the identifier that no solver can prove', () => {
  const dns: Solver = { ...solver, name: 'dns', challengeType: 'dns-01', canProve: () => true };
  const names = [{ type: 'dns' as const, value: '*.a.example' }];
  assert.throws(() => refuseHopeless(names, [solver]), {
    code: 'denied',
    message: 'not possible for *.a.example: http-01 of verification "http" cannot prove it',
  });
  refuseHopeless(names, [solver, dns]);
  refuseHopeless(names, []);
});

test('chooseChallenge() says what the CA offers and what there is to answer with', () => {
  const offered = authorization([offer('dns-01'), offer('tls-alpn-01')]);
  assert.throws(() => chooseChallenge(offered, [solver]), {
    code: 'misconfigured',
    message: 'for a.example the CA offers dns-01, tls-alpn-01, but verification "http" answers http-01',
  });
  assert.throws(() => chooseChallenge(authorization([], true), []), {
    code: 'misconfigured',
    message:
      'for *.a.example the CA offers nothing, but neither a verification nor an authenticator is configured',
  });
});

test("authorizedIdentifier() gives a wildcard's authorization its asterisk back", () => {
  assert.deepEqual(authorizedIdentifier(authorization([], true)), { type: 'dns', value: '*.a.example' });
  assert.deepEqual(authorizedIdentifier(authorization([])), { type: 'dns', value: 'a.example' });
});
