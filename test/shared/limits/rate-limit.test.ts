import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError, type Problem } from '../../../shared/base/errors.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import { registeredDomains } from '../../../shared/limits/limits.ts';
import { type Cover, readRateLimit } from '../../../shared/limits/read-rate-limit.ts';

const now = Date.parse('2026-11-22T12:00:00Z');
const identifiers: Identifier[] = [
  { type: 'dns', value: 'www.example.org' },
  { type: 'dns', value: 'mail.example.co.uk' },
];

const read = (error: IssuanceError) => readRateLimit(identifiers, registeredDomains(identifiers), error, now);

function limitOf(detail: string, { retryAfter, ...more }: Partial<Problem> & { retryAfter?: number } = {}) {
  const problem: Problem = { type: 'urn:ietf:params:acme:error:rateLimited', detail, ...more };
  return read(new IssuanceError('rateLimited', detail, { problem, retryAfter }));
}

const until = '2026-11-22 20:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/';
const end = Date.parse('2026-11-22T20:00:00Z');

const told: [string, string, Cover[]][] = [
  [
    'the account',
    `too many new orders (300) from this account in the last 3h0m0s, retry after ${until}`,
    ['account'],
  ],
  [
    'the registered domain',
    `too many certificates (50) already issued for "example.org" in the last 168h0m0s, retry after ${until}`,
    [{ domain: 'example.org' }],
  ],
  [
    'the registered domain under a two-level suffix',
    `too many certificates (50) already issued for "example.co.uk" in the last 168h0m0s, retry after ${until}`,
    [{ domain: 'example.co.uk' }],
  ],
  [
    'the exact set of names',
    `too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry after ${until}`,
    ['set'],
  ],
  [
    'the one name',
    `too many failed authorizations (5) for "www.example.org" in the last 1h0m0s, retry after ${until}`,
    [{ name: 'www.example.org' }],
  ],
  ['nothing that it says, where the text is not known', 'please slow down', ['unsaid']],
];

for (const [what, detail, covers] of told) {
  test(`readRateLimit() parks ${what}`, () => {
    assert.deepEqual(limitOf(detail, { retryAfter: end }), { covers, until: end });
  });
}

test('readRateLimit() reads the end from the text where there is no Retry-After', () => {
  assert.equal(limitOf(`too many new orders (300) from this account, retry after ${until}`).until, end);
});

test('readRateLimit() waits an hour where nothing tells the end', () => {
  assert.equal(limitOf('too many requests').until, now + 3_600_000);
});

test('readRateLimit() leaves a paused name to an operator', () => {
  const detail =
    'Your account is temporarily prevented from requesting certificates for www.example.org and possibly others. Please visit: https://portal.example/sfe/v1/unpause?jwt=x';
  assert.deepEqual(limitOf(detail), { covers: [{ name: 'www.example.org' }], until: undefined });
});

test('readRateLimit() parks the identifiers that subproblems name', () => {
  const type = 'urn:ietf:params:acme:error:rateLimited';
  const identifier = { type: 'dns', value: 'mail.example.co.uk' };
  const other = {
    type: 'urn:ietf:params:acme:error:malformed',
    identifier: { type: 'dns', value: 'www.example.org' },
  };
  const limit = limitOf('see subproblems', { subproblems: [{ type, identifier }, other], retryAfter: end });
  assert.deepEqual(limit.covers, [{ name: 'mail.example.co.uk' }]);
});

test('readRateLimit() takes a load balancer that asks for patience to mean everybody', () => {
  const error = new IssuanceError('unavailable', 'busy', { retryAfter: now + 5_000 });
  assert.deepEqual(read(error), {
    covers: ['account'],
    until: now + 5_000,
  });
});

test('readRateLimit() takes a CA that asks all to wait for what holds the account back, whatever it says', () => {
  const said =
    'too many certificates (50) already issued for "example.org", see https://portal.example/unpause';
  const problem: Problem = { type: 'urn:ietf:params:acme:error:serverInternal', detail: said };
  for (const [retryAfter, end] of [
    [now + 5, now + 5],
    [undefined, now],
  ] as const) {
    const error = new IssuanceError('unavailable', said, { problem, retryAfter });
    assert.deepEqual(read(error), {
      covers: ['account'],
      until: end,
    });
  }
});

test('readRateLimit() takes a text that names what it limits without a word of how for one that says nothing', () => {
  for (const said of [
    'slow down with www.example.org',
    'slow down with example.org',
    'too many certificates',
    'too many failed authorizations',
  ])
    assert.deepEqual(limitOf(said).covers, ['unsaid'], said);
});

test('readRateLimit() passes over a name that the CA limits and nobody ordered, as it would become a key', () => {
  const identifier = { type: 'dns', value: 'victim.example\n* $(id)' };
  assert.deepEqual(limitOf('slow down', { identifier }).covers, ['unsaid']);
});

test('readRateLimit() takes no word of a name for one of the CA, as clients choose their names', () => {
  const names = ['account.paused.example.org', 'new-orders.example.com'];
  const order: Identifier[] = names.map(value => ({ type: 'dns', value }));
  const portal = 'see https://ca.example/docs';
  for (const name of ['account.paused.example.org', 'new-orders.example.com', 'portal.account.example.net']) {
    const detail = `too many requests for "${name}": ${portal}`;
    const problem: Problem = { type: 'urn:ietf:params:acme:error:rateLimited', detail };
    const error = new IssuanceError('rateLimited', detail, { problem });
    const { covers, until } = readRateLimit(order, registeredDomains(order), error, now);
    assert.deepEqual([covers, until], [['unsaid'], now + 3_600_000], name);
  }
});
