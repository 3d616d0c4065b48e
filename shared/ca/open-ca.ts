import { readFile } from 'node:fs/promises';
import type { ProxyEnv } from 'node:http';
import { type CaConnection, openCaConnection, readDirectory } from '../acme/connection.ts';
import type { Directory } from '../acme/directory.ts';
import type { Clock, Log } from '../base/basics.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import type { Store } from '../base/redis.ts';
import { USER_AGENT } from '../base/version.ts';
import { type Budget, openBudget } from '../limits/budget.ts';
import { caOf } from '../limits/limits.ts';
import { type Limits, openLimits } from '../limits/open-limits.ts';
import { openAccountDirectory } from './account-directory.ts';
import { type AccountHolder, type AccountState, holdAccount, type OpenAccount } from './account-holder.ts';
import type { AccountConfig } from './account-section.ts';
import { openAccountStates } from './account-states.ts';
import { adviseOnCa } from './advise-on-ca.ts';
import { type Breaker, openBreaker } from './breaker.ts';
import { newPollPaces, type PollPaces } from './poll-paces.ts';

/** One account at one CA, with all that the fleet knows of that CA. */
export type Ca = {
  /** Of the account, as the configuration names it. */
  name: string;
  directoryUrl: string;
  connection: CaConnection;
  account: AccountHolder;
  /** At most an hour old. @param timeout milliseconds for the CA's answer */
  directory(signal: AbortSignal, timeout?: number): Promise<Directory>;
  limits: Limits;
  budget: Budget;
  breaker: Breaker;
  paces: PollPaces;
};

/** What the fleet knows of what a CA allows, refuses and answers. */
type Guards = Pick<Ca, 'limits' | 'budget' | 'breaker'>;

/** Where there is no Redis, nothing is known of a CA and nothing is kept: it is asked every time. */
const unguarded: Guards = {
  limits: {
    standingAgainst: async () => undefined,
    keysAgainst: () => [],
    blockedKey: () => '',
    findStanding: () => undefined,
    failureKeys: () => [],
    slowKey: () => '',
    findKept: () => undefined,
    csrKey: () => '',
    rememberCsr: async () => {},
    park: async () => [],
    recordFailure: async () => undefined,
    countFailedOrder: async () => undefined,
    failedOrders: async () => 0,
    recordSuccess: async () => {},
  },
  budget: {
    takeOrder: async () => undefined,
    countsCertificates: false,
    spendCertificate: async () => {},
    spendFailures: async () => {},
    leave: async () => {},
    ordersLeft: async () => undefined,
  },
  breaker: {
    suspected: false,
    admit: async () => 'closed',
    failed: async () => false,
    answered: async () => false,
    opened: async () => undefined,
  },
};

/**
 * Opens the CA of an account of the configuration; asks it nothing yet. Dispose of it to close its
 * connections.
 */
async function openCa(
  config: AccountConfig,
  store: Store,
  { clock, log }: { clock: Clock; log: Log },
): Promise<Ca & Disposable> {
  const { name, acmeServer: directoryUrl, caFile, proxy } = config;
  const ca = caFile === undefined ? undefined : [await readFile(caFile, 'utf8')];
  const open: OpenAccount = (connection, signal, lost) =>
    openAccountDirectory(connection, config, log.child({ ca: name }), signal, lost);
  const scope = { account: name, ca: caOf(directoryUrl) };
  const states = openAccountStates(store);
  const guards = {
    limits: openLimits(store, scope, clock),
    budget: openBudget(store, scope, config.limits, clock),
    breaker: openBreaker(store, scope.ca),
  };
  return openCaOf({ name, directoryUrl, ca, proxy }, open, clock, guards, state => {
    states
      .write(name, state)
      .catch(error => log.debug({ reason: describeError(error) }, 'state not written'));
  });
}

/**
 * Opens a CA for an account that is opened in a way of its own; asks it nothing yet.
 *
 * @param of `ca`: PEM certificates of the authorities to trust in place of the system's; `proxy`: what leads
 *   to it
 * @param changed gets how the account is, each time that changes
 */
export function openCaOf(
  of: { name: string; directoryUrl: string; ca: string[] | undefined; proxy?: ProxyEnv | undefined },
  openAccount: OpenAccount,
  clock: Clock,
  { limits, budget, breaker }: Guards = unguarded,
  changed?: (state: AccountState) => void,
): Ca & Disposable {
  const { name, directoryUrl, ca, proxy } = of;
  const connection = openCaConnection({ directoryUrl, userAgent: USER_AGENT, clock, ca, proxy });
  const told = (state: AccountState) => {
    const issuers = connection.directory?.answer.caaIdentities ?? [];
    changed?.('url' in state && issuers.length > 0 ? { ...state, issuers } : state);
  };
  return {
    name,
    directoryUrl,
    connection,
    account: holdAccount(connection, openAccount, told),
    directory: (signal, timeout) => readDirectory(connection, signal, timeout),
    limits,
    budget,
    breaker,
    paces: newPollPaces(),
    [Symbol.dispose]: () => connection[Symbol.dispose](),
  };
}

/** The same CA, with all that is known of it, ordered from by another account. */
export function withAccount(ca: Ca, name: string, openAccount: OpenAccount): Ca {
  return { ...ca, name, account: holdAccount(ca.connection, openAccount) };
}

/** Opens all accounts of a configuration, by name. */
export async function openCas(
  accounts: Iterable<AccountConfig>,
  store: Store,
  parts: { clock: Clock; log: Log },
): Promise<Map<string, Ca> & Disposable> {
  const opened = await Promise.all([...accounts].map(config => openCa(config, store, parts)));
  const cas = new Map<string, Ca>(opened.map(ca => [ca.name, ca]));
  const dispose = () => {
    for (const ca of opened) ca[Symbol.dispose]();
  };
  return Object.assign(cas, { [Symbol.dispose]: dispose });
}

const [FIRST_PAUSE, LONGEST_PAUSE] = [500, 30_000];

/**
 * Opens the accounts of all CAs, each by itself: a CA that is away is waited for and holds up no other.
 *
 * @param refused gets what keeps an account from ever working as it is configured
 * @returns once one account is open; the others go on until `signal` fires
 * @throws IssuanceError the first account's, where none can work as it is configured; or the signal's reason
 */
export async function openAccounts(
  cas: Iterable<Ca>,
  { clock, log }: { clock: Clock; log: Log },
  signal: AbortSignal,
  refused: (ca: Ca, error: unknown) => void,
): Promise<void> {
  const opening = [...cas].map(ca =>
    untilOpen(ca, { clock, log }, signal).catch(error => {
      if (!signal.aborted) refused(ca, error);
      throw error;
    }),
  );
  await Promise.any(opening).catch((error: AggregateError) => {
    throw error.errors[0];
  });
}

async function untilOpen(
  { name, account }: Ca,
  { clock, log }: { clock: Clock; log: Log },
  signal: AbortSignal,
): Promise<void> {
  for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      await account.open(signal);
      return;
    } catch (error) {
      const passes = error instanceof IssuanceError && ['unavailable', 'rateLimited'].includes(error.code);
      if (!passes) throw error;
      if (pause === FIRST_PAUSE) {
        log.warn({ account: name, reason: adviseOnCa(error) }, 'no account yet, trying again');
      }
      await clock.sleep(Math.max((error.retryAfter ?? 0) - clock.now(), pause), signal);
    }
  }
}
