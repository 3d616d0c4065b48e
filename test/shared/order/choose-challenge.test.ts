import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AcmeAuthorization } from '../../../shared/acme/objects.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import {
  type Authorized,
  authorizedIdentifier,
  chooseChallenge,
  fetchAuthorizations,
  refuseHopeless,
} from '../../../shared/order/challenges.ts';
import type { Solver } from '../../../shared/solver/solver.ts';
import { scriptCa } from './scripted-ca.ts';

const { solver } = scriptCa();
const offer = (type: string, token = 'a-token') => ({
  type,
  token,
  url: `https://ca.example/${type}`,
  status: 'pending',
});

function authorized(challenges: AcmeAuthorization['challenges'], wildcard = false): Authorized {
  const name = wildcard ? '*.a.example' : 'a.example';
  return { authorization: authorization(challenges, wildcard), identifier: { type: 'dns', value: name } };
}

function authorization(challenges: AcmeAuthorization['challenges'], wildcard = false): AcmeAuthorization {
  const identifier = { type: 'dns', value: 'a.example' } as const;
  return { url: 'https://ca.example/authz', status: 'pending', identifier, wildcard, challenges };
}

test("chooseChallenge() takes the first challenge of the solver's type that has a token", () => {
  const offered = [offer('dns-01'), offer('http-01', ''), offer('http-01'), offer('http-01', 'later')];
  assert.equal(chooseChallenge(authorized(offered), [solver]).challenge, offered[2]);
});

test('chooseChallenge() goes by the preference, and passes over what the CA does not offer or the solver cannot prove', () => {
  const dns: Solver = { ...solver, name: 'dns', challengeType: 'dns-01', canProve: () => true };
  const both = [offer('http-01'), offer('dns-01')];
  const nameOf = (offered: typeof both, solvers: Solver[], wildcard = false) =>
    chooseChallenge(authorized(offered, wildcard), solvers).solver.name;
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
    chooseChallenge(authorized(offered), [persist, solver]).challenge;
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
  const offered = authorized([offer('dns-01'), offer('tls-alpn-01')]);
  assert.throws(() => chooseChallenge(offered, [solver]), {
    code: 'misconfigured',
    message: 'for a.example the CA offers dns-01, tls-alpn-01, but verification "http" answers http-01',
  });
  assert.throws(() => chooseChallenge(authorized([], true), []), {
    code: 'misconfigured',
    message:
      'for *.a.example the CA offers nothing, but neither a verification nor an authenticator is configured',
  });
});

const dns = (value: string): Identifier => ({ type: 'dns', value });
const ip = (value: string): Identifier => ({ type: 'ip', value });

for (const [what, identifier, isWildcard, ordered, found] of [
  ['a name', dns('a.example'), false, [dns('b.example'), dns('a.example')], dns('a.example')],
  [
    "a wildcard's without its asterisk",
    dns('a.example'),
    true,
    [dns('a.example'), dns('*.a.example')],
    dns('*.a.example'),
  ],
  ["a wildcard's that does not say so", dns('a.example'), false, [dns('*.a.example')], dns('*.a.example')],
  ['a name in capitals with a dot', dns('A.Example.'), false, [dns('a.example')], dns('a.example')],
  ['an address in full', ip('2001:DB8:0:0:0:0:0:1'), false, [ip('2001:db8::1')], ip('2001:db8::1')],
] as [string, Identifier, boolean, Identifier[], Identifier][])
  test(`authorizedIdentifier() finds the ordered name of ${what}`, () => {
    const given = { ...authorization([], isWildcard), identifier };
    assert.equal(
      authorizedIdentifier(given, ordered),
      ordered.find(one => one.value === found.value),
    );
  });

for (const [what, identifier, isWildcard] of [
  ['a name that was not ordered', dns('victim.example'), false],
  ['what is above it (RFC 9444)', dns('example'), false],
  ['line breaks and a command', dns('a.example\n$(id)'), false],
  ['a wildcard of it', dns('a.example'), true],
  ['an address', ip('a.example'), false],
] as [string, Identifier, boolean][])
  test(`authorizedIdentifier() refuses an authorization of ${what}`, () => {
    const given = { ...authorization([], isWildcard), identifier };
    assert.throws(
      () => authorizedIdentifier(given, [dns('a.example')]),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'unexpected');
        assert.match(error.message, /^the CA asks for an authorization of "[^\n]*", which was not ordered$/);
        return true;
      },
    );
  });

test('fetchAuthorizations() fetches none where there are more than names, and no two for one name', async () => {
  let fetched = 0;
  const acme = {
    getAuthorization: async () => {
      fetched++;
      return authorization([]);
    },
  };
  const many = { authorizations: Array.from({ length: 8_000 }, (_, index) => `https://ca.example/${index}`) };
  await assert.rejects(fetchAuthorizations(acme, many, [dns('a.example'), dns('b.example')]), {
    code: 'unexpected',
    message: 'the CA asks for 8000 authorizations for 2 names',
  });
  assert.equal(fetched, 0);
  const twice = { authorizations: many.authorizations.slice(0, 2) };
  await assert.rejects(fetchAuthorizations(acme, twice, [dns('a.example'), dns('b.example')]), {
    code: 'unexpected',
    message: /"a\.example", which was not ordered/,
  });
});
