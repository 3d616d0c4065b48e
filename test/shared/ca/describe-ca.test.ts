import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccountStates } from '../../../shared/ca/account-states.ts';
import { describeCa } from '../../../shared/ca/describe-ca.ts';
import { newPollPaces } from '../../../shared/ca/poll-paces.ts';
import { StandingLimitError } from '../../../shared/limits/limits.ts';

const since = Date.UTC(2026, 7, 1, 12, 0, 0, 789);
const nothing = async () => undefined;

type Known = {
  state?: Awaited<ReturnType<AccountStates['read']>>;
  opened?: { since: number; reason: string };
  left?: number;
  limit?: StandingLimitError;
};

/** The line for an account of which so much is known. */
function describe({ state, opened, left, limit }: Known): Promise<string> {
  const rate = { count: 300, period: 3_600_000 };
  const ca = {
    name: 'zerossl',
    directoryUrl: 'https://ca.example/dir',
    directory: () => assert.fail('the CA was asked'),
    limits: {
      standingAgainst: async () => limit,
      keysAgainst: () => [],
      blockedKey: () => '',
      findStanding: () => undefined,
      failureKeys: () => [],
      slowKey: () => '',
      countFailedOrder: async () => undefined,
      failedOrders: async () => 0,
      findKept: () => undefined,
      csrKey: () => '',
      rememberCsr: async () => {},
      park: async () => [],
      recordFailure: nothing,
      recordSuccess: nothing,
    },
    budget: {
      takeOrder: nothing,
      countsCertificates: true,
      spendCertificate: nothing,
      spendFailures: nothing,
      leave: nothing,
      ordersLeft: async () => (left === undefined ? undefined : { left, rate }),
    },
    breaker: {
      suspected: false,
      admit: () => assert.fail('the breaker was asked for a probe'),
      failed: async () => false,
      answered: async () => false,
      opened: async () => opened,
    },
    paces: newPollPaces(),
  };
  const read = async (name: string) => (name === 'zerossl' ? state : undefined);
  return describeCa(ca, { read, write: nothing });
}

const url = 'https://ca.example/account/1';
const calm = 'breaker closed; orders are not counted';
const retryAfter = since + 3_600_000;

for (const [what, known, line] of [
  ['no worker has opened', {}, `no worker has opened it yet; ${calm}`],
  ['is open', { state: { url, since } }, `open since 2026-08-01T12:00:00Z as ${url}; ${calm}`],
  [
    'is refused',
    { state: { fault: 'the terms are not accepted', since } },
    `not open since 2026-08-01T12:00:00Z: the terms are not accepted; ${calm}`,
  ],
  [
    'is at a CA that is away',
    { opened: { since, reason: 'ECONNREFUSED' } },
    'no worker has opened it yet; breaker open since 2026-08-01T12:00:00Z: ECONNREFUSED; orders are not counted',
  ],
  ['has orders left', { left: 12 }, 'no worker has opened it yet; breaker closed; 12 of 300 orders left'],
  [
    'is limited for a time',
    { left: 0, limit: new StandingLimitError('rateLimited', 'too many', { retryAfter }) },
    'no worker has opened it yet; breaker closed; 0 of 300 orders left; held back until 2026-08-01T13:00:00Z: too many',
  ],
  [
    'is paused',
    { limit: new StandingLimitError('rateLimited', 'paused') },
    `no worker has opened it yet; ${calm}; held back until you clear it: paused`,
  ],
] as const)
  test(`describeCa() says in one line how an account is that ${what}`, async () => {
    assert.equal(await describe(known), `account zerossl, https://ca.example/dir: ${line}`);
  });
