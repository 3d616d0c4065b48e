import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ask } from '../../support/ask.ts';
import { assertChain } from '../../support/chain.ts';
import type { FaultProxy, Kind, RuleOptions } from '../../support/fault-proxy.ts';
import type { Fleet, RoleProcess } from '../../support/fleet.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { about, type Post, post, reached, sent } from '../faults/orders.ts';

export type AccountName = 'default' | 'second';

const cas = (fleet: Fleet) => ({
  default: { pebble: fleet.pebble, ca: fleet.ca },
  second: fleet.second,
});

/**
 * Waits for the answers: each is a certificate of this account's CA, by its root and by what the answer says.
 */
export async function assertIssuedBy(fleet: Fleet, account: AccountName, posts: Post[]): Promise<void> {
  const rootPem = await cas(fleet)[account].pebble.rootPem();
  for (const { names, keyPem, answer } of posts) {
    const { status, body, headers } = await answer;
    assert.equal(status, 200, `${names}: ${body}`);
    assert.equal(headers['x-quarry-account'], account, `${names}`);
    assertChain(body, { names, keyPem, rootPem });
  }
}

/** How often each CA's Pebble was asked for an order with this name, or for something else of it. */
export function asked(fleet: Fleet, name: string, kind: Kind = 'newOrder'): Record<AccountName, number> {
  const count = ({ ca }: { ca: FaultProxy }) => reached(sent(ca, name, kind)).length;
  return { default: count(cas(fleet).default), second: count(cas(fleet).second) };
}

/** Has the CA refuse what concerns this name. */
export const refuse = (
  ca: FaultProxy,
  name: string,
  {
    type,
    detail = `${type}, says the first CA`,
    status = 403,
    kind = 'newOrder',
    headers = {},
    ...more
  }: Refusal,
) =>
  ca.rule({
    ...more,
    kind,
    when: about(name),
    do: { answer: { status, headers, problem: { type, detail } } },
  });

export type Refusal = Omit<RuleOptions, 'do' | 'when' | 'kind'> & {
  type: string;
  detail?: string;
  status?: number;
  kind?: Kind;
  headers?: Record<string, string>;
};

/**
 * What is told of one registered domain alone, as otherwise the account would be limited for all that it
 * orders.
 */
export function limited(domain: string, seconds: number): Refusal {
  return {
    type: 'rateLimited',
    detail: `too many certificates (50) already issued for "${domain}" in the last 168h0m0s`,
    status: 429,
    headers: { 'retry-after': `${seconds}` },
  };
}

/** Every request that fails, as when the CA's database is away. */
export const broken: RuleOptions['do'] = {
  answer: { status: 500, problem: { type: 'serverInternal', detail: 'the database is away' } },
};

/** What the workers have logged of the breaker of an account's CA, all of them together. */
export function breakerLines(workers: RoleProcess[], account: AccountName) {
  const lines = workers.flatMap(worker => worker.log()).filter(line => line.account === account);
  const saying = (pattern: RegExp) => lines.filter(({ msg }) => pattern.test(`${msg}`)).length;
  return { opened: saying(/breaker open/i), closed: saying(/breaker closed/i) };
}

/** Waits for the account: a worker is ready as soon as any of its accounts is. */
export const untilOpen = ({ accountDir }: { accountDir: string }) =>
  waitUntil('the account to be open', () => existsSync(join(accountDir, 'registration.json')), 30_000);

export const readyz = async (role: RoleProcess) => ask(`${role.adminUrl}/readyz`);

/** Posts for new names, one after the other, until the certificate of one is of this account's CA. */
export async function postUntil(fleet: Fleet, account: AccountName, domain: string): Promise<void> {
  const end = performance.now() + 120_000;
  for (let count = 0; ; count++) {
    assert.ok(performance.now() < end, `a certificate of ${account} within two minutes`);
    const one = await post(fleet, [`${count}.${domain}`]);
    const { status, body, headers } = await one.answer;
    assert.equal(status, 200, body);
    if (headers['x-quarry-account'] === account) return assertIssuedBy(fleet, account, [one]);
  }
}
