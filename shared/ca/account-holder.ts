import type { AcmeAccount } from '../acme/client.ts';
import type { CaConnection } from '../acme/connection.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { orAborted } from '../base/or-aborted.ts';

/** The account that orders are made with, and the way to a new one when the CA no longer knows it. */
export type AccountHolder = {
  /** `undefined` until it is open. */
  readonly current: AcmeAccount | undefined;
  /** What keeps it from being opened or of use; `undefined` where it works. */
  readonly fault: unknown;
  /** Opens the account unless it is open; once, however many ask. */
  open(signal: AbortSignal): Promise<AcmeAccount>;
  /**
   * Looks an account that the CA has lost up by its key, or makes it anew; once, however many ask.
   *
   * @returns the account that is of use now
   */
  renew(lost: AcmeAccount, signal: AbortSignal): Promise<AcmeAccount>;
  /** Notes that the CA refuses the account, as one that was deactivated; `undefined`: that it works. */
  note(refused: IssuanceError | undefined): void;
};

/** What an account is opened from. @param lost an account URL that the CA no longer knows */
export type OpenAccount = (
  connection: CaConnection,
  signal: AbortSignal,
  lost?: string,
) => Promise<AcmeAccount>;

/** How an account is: its URL, and what CAA records call its CA; or why it is of no use, in one line. */
export type AccountState = { url: string; issuers?: string[] } | { fault: string };

/** @param changed gets how the account is, each time that changes */
export function holdAccount(
  connection: CaConnection,
  openAccount: OpenAccount,
  changed: (state: AccountState) => void = () => {},
): AccountHolder {
  let opening: Promise<AcmeAccount> | undefined;

  function become(fault: unknown, account = held.current): void {
    held.current = account;
    held.fault = fault;
    if (fault !== undefined) changed({ fault: describeError(fault) });
    else if (account) changed({ url: account.url });
  }

  async function open(lost?: string): Promise<AcmeAccount> {
    try {
      const opened = await openAccount(connection, new AbortController().signal, lost);
      become(undefined, opened);
      return opened;
    } catch (error) {
      become(error);
      throw error;
    } finally {
      opening = undefined;
    }
  }

  /** The signal of one caller does not end it for the others: the requests' own timeouts do. */
  function openOnce(signal: AbortSignal, lost?: string): Promise<AcmeAccount> {
    opening ??= open(lost);
    return orAborted(opening, signal);
  }

  const held: AccountHolder & { current: AcmeAccount | undefined; fault: unknown } = {
    current: undefined,
    fault: new IssuanceError('unavailable', 'the account is not open yet'),
    open: async signal => held.current ?? openOnce(signal),
    async renew(lost, signal) {
      const { current } = held;
      if (current && current.url !== lost.url) return current; // another job has renewed it
      return openOnce(signal, lost.url);
    },
    note(refused) {
      if (describeError(refused) !== describeError(held.fault)) become(refused);
    },
  };
  return held;
}

/** @throws what keeps it from being opened, where it is not open yet */
export function accountOf({ current, fault }: AccountHolder): AcmeAccount {
  if (current) return current;
  throw fault;
}
