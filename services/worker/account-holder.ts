import { openAccount } from '../../shared/acme/account.ts';
import type { CaConnection } from '../../shared/acme/ca-connection.ts';
import type { AcmeAccount } from '../../shared/acme/client.ts';
import type { Log } from '../../shared/base/log.ts';
import type { AccountConfig } from '../../shared/ca/account-section.ts';

/** The account that jobs order with, and the way to a new one when the CA no longer knows it. */
export type AccountHolder = {
  current(): AcmeAccount;
  /** Looks the account up by its key, or makes it anew; once, however many jobs ask. */
  renew(lost: AcmeAccount, signal: AbortSignal): Promise<void>;
};

export async function openAccountHolder(
  connection: CaConnection,
  config: AccountConfig,
  log: Log,
  signal: AbortSignal,
): Promise<AccountHolder> {
  let account = await openAccount(connection, config, log, signal);
  let renewing: Promise<void> | undefined;
  return {
    current: () => account,
    renew: async (lost, signal) => {
      if (lost.url !== account.url) return; // another job has seen to it
      renewing ??= openAccount(connection, { ...config, lost: lost.url }, log, signal)
        .then(found => {
          account = found;
        })
        .finally(() => {
          renewing = undefined;
        });
      await renewing;
    },
  };
}
