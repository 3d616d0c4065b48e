import { AcmeApi } from './acme-api.ts';
import type { CaConnection } from './ca-connection.ts';
import type { AcmeAccount } from './client.ts';
import { openTransport } from './transport.ts';

/** Replaces the contacts of an account (RFC 8555 section 7.3.2), `mailto:` URLs. @returns the account object */
export async function updateContact(
  connection: CaConnection,
  account: AcmeAccount,
  contact: string[],
  signal: AbortSignal,
): Promise<unknown> {
  return (await openApi(connection, account, signal).updateAccount({ contact })).data;
}

/** Ends an account for good (section 7.3.6): the CA refuses its key from then on. @returns the account object */
export async function deactivateAccount(
  connection: CaConnection,
  account: AcmeAccount,
  signal: AbortSignal,
): Promise<unknown> {
  return (await openApi(connection, account, signal).updateAccount({ status: 'deactivated' })).data;
}

/**
 * Gives an account a new key (section 7.3.5). Keep the new key safe before the call: once it has succeeded, the old one
 * is worth nothing.
 *
 * @param newKeyPem PKCS#8
 * @returns the account with its new key
 */
export async function rolloverKey(
  connection: CaConnection,
  account: AcmeAccount,
  newKeyPem: string,
  signal: AbortSignal,
): Promise<AcmeAccount> {
  const successor = openTransport(connection, newKeyPem, signal);
  const url = await successor.getResourceUrl('keyChange');
  const oldKey = openTransport(connection, account.keyPem, signal).getJwk();
  // The inner request proves that the new key is held; it has no nonce, as the outer one has it.
  const inner = successor.createSignedBody(url, { account: account.url, oldKey });
  await openApi(connection, account, signal).updateAccountKey(inner);
  return { keyPem: newKeyPem, url: account.url };
}

function openApi(connection: CaConnection, account: AcmeAccount, signal: AbortSignal): AcmeApi {
  return new AcmeApi(openTransport(connection, account.keyPem, signal), account.url);
}
