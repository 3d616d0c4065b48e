import type { AcmeAccount } from '../acme/client.ts';
import type { CaConnection } from '../acme/connection.ts';
import { describeError, IssuanceError } from '../base/basics.ts';
import type { Store } from '../base/redis.ts';

/** The account that orders are made with, and the way to a new one when the CA no longer knows it. */
export type AccountHolder = {
  /** @throws IssuanceError that says why there is no account yet, or why it is of no use any more */
  current(): AcmeAccount;
  /** Why there is no account that works, in one line; `undefined` where there is. */
  fault(): string | undefined;
  /** Opens the account unless it is open; once, however many ask. */
  open(signal: AbortSignal): Promise<AcmeAccount>;
  /** Looks an account that the CA has lost up by its key, or makes it anew; once, however many ask. */
  renew(lost: AcmeAccount, signal: AbortSignal): Promise<void>;
  /** Notes that the CA refuses the account, as one that was deactivated; `undefined`: that it works. */
  note(refused: IssuanceError | undefined): void;
};

/** What an account is opened from. @param lost an account URL that the CA no longer knows */
export type OpenAccount = (
  connection: CaConnection,
  signal: AbortSignal,
  lost?: string,
) => Promise<AcmeAccount>;

/** How an account is: its URL at the CA, or why it cannot be used, in one line. */
export type AccountState = { url: string } | { fault: string };

/** @param changed gets how the account is, each time that changes */
export function holdAccount(
  connection: CaConnection,
  openAccount: OpenAccount,
  changed: (state: AccountState) => void = () => {},
): AccountHolder {
  let account: AcmeAccount | undefined;
  let fault: unknown = new IssuanceError('unavailable', 'the account is not open yet');
  let opening: Promise<AcmeAccount> | undefined;

  function become(next: { account?: AcmeAccount; fault?: unknown }): void {
    account = next.account ?? account;
    fault = next.fault;
    if (fault !== undefined) changed({ fault: describeError(fault) });
    else if (account) changed({ url: account.url });
  }

  async function open(lost?: string): Promise<AcmeAccount> {
    try {
      const opened = await openAccount(connection, new AbortController().signal, lost);
      become({ account: opened });
      return opened;
    } catch (error) {
      become({ fault: error });
      throw error;
    } finally {
      opening = undefined;
    }
  }

  /** The signal of one caller does not end it for the others: the requests' own timeouts do. */
  function openOnce(signal: AbortSignal, lost?: string): Promise<AcmeAccount> {
    opening ??= open(lost);
    return untilAborted(opening, signal);
  }

  return {
    current() {
      if (account) return account;
      throw fault;
    },
    fault: () => (fault === undefined ? undefined : describeError(fault)),
    open: async signal => account ?? openOnce(signal),
    async renew(lost, signal) {
      if (account && lost.url !== account.url) return; // another job has renewed it
      await openOnce(signal, lost.url);
    },
    note(refused) {
      if (describeError(refused) !== describeError(fault)) become({ fault: refused });
    },
  };
}

async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** How the fleet's accounts are, as a worker found last; for people. */
export type AccountStates = {
  write(account: string, state: AccountState): Promise<void>;
  /** @returns `since`: milliseconds since the epoch; `undefined` where no worker has looked yet */
  read(account: string): Promise<(AccountState & { since: number }) | undefined>;
};

/** Keeps the time of a state that has not changed. KEYS: accounts. ARGV: account, state. */
const WRITE_STATE = `
local there = redis.call('HGET', KEYS[1], ARGV[1])
if there and string.match(there, '^%d+ (.*)$') == ARGV[2] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now) .. ARGV[2])`;

export function openAccountStates({ redis, prefix }: Store): AccountStates {
  const key = `${prefix}:accounts`;
  return {
    write: async (account, state) => {
      await redis.eval(WRITE_STATE, 1, key, account, JSON.stringify(state));
    },
    async read(account) {
      const text = await redis.hget(key, account);
      if (text === null) return undefined;
      const space = text.indexOf(' ');
      const state = JSON.parse(text.slice(space + 1)) as AccountState;
      return { ...state, since: Number(text.slice(0, space)) };
    },
  };
}
