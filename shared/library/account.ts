import type { ProxyEnv } from 'node:http';
import { createAccount, type ExternalAccountBinding, findAccount } from '../acme/account.ts';
import { type AcmeClient, openAcmeClient } from '../acme/client.ts';
import { type CaConnection, openCaConnection, readDirectory } from '../acme/connection.ts';
import { IssuanceError } from '../base/errors.ts';
import { USER_AGENT } from '../base/version.ts';
import { Order, type OrderOptions } from './order.ts';

/** What an account is opened with. */
export type AccountOptions = {
  /** The URL of the CA's directory. */
  directory: string;
  /** PKCS#8 PEM, RSA or EC. The key is the account: with the same key it is the same one. */
  key: string;
  /** Whether the CA's terms of service are agreed to, whatever they are, or the URL of those that are. */
  terms?: boolean | string;
  /** URLs such as `mailto:admin@example.org`, for an account that is made. */
  contact?: string[];
  /** External account binding (RFC 8555 section 7.3.4), where the CA asks for it. */
  eab?: ExternalAccountBinding;
  /** PEM certificates of the authorities to trust for the CA's own HTTPS, in place of the system's. */
  ca?: string[];
  /** What leads to the CA, as Node's agents read it: `process.env`, or `{ HTTPS_PROXY, NO_PROXY }`. */
  proxy?: ProxyEnv;
  /** How your program names itself to the CA (RFC 8555 section 6.1). */
  userAgent?: string;
  /** Ends every request of the account. */
  signal?: AbortSignal;
};

/** An account at a CA. Dispose of it to close its connections; idle ones keep no process. */
export type Account = Disposable & {
  /** What it is called at the CA (RFC 8555 section 7.1.2). */
  readonly url: string;
  /** For the calls that take one, such as `fetchRenewalInfo`. */
  readonly connection: CaConnection;
  /** The single steps (RFC 8555 section 7), one request each. */
  client(signal?: AbortSignal): AcmeClient;
  /**
   * Orders a certificate (RFC 8555 section 7.4).
   *
   * @param names DNS names, which may be wildcards, and IP addresses
   */
  order(names: readonly string[], options?: OrderOptions): Promise<Order>;
};

/**
 * Opens the account that a CA has for a key, or makes it (RFC 8555 section 7.3).
 *
 * @throws IssuanceError `misconfigured` where the account is to be made, and the CA wants its terms agreed to
 *   or an external binding
 */
export async function openAccount(options: AccountOptions): Promise<Account> {
  const { directory: directoryUrl, key: keyPem, ca, proxy, userAgent = USER_AGENT } = options;
  const { signal = new AbortController().signal } = options;
  using opening = new DisposableStack();
  const connection = opening.use(openCaConnection({ directoryUrl, userAgent, ca, proxy }));
  const found = await findAccount(connection, keyPem, signal);
  const { url } = found ?? (await makeAccount(connection, options, signal));
  const client = (own: AbortSignal = signal) =>
    openAcmeClient(connection, { keyPem, url }, AbortSignal.any([signal, own]));
  const opened = opening.move();
  return {
    url,
    connection,
    client,
    order: (names, wanted) => Order.make({ client, clock: connection.clock }, names, wanted),
    [Symbol.dispose]: () => opened.dispose(),
  };
}

async function makeAccount(
  connection: CaConnection,
  { key, terms, contact, eab }: AccountOptions,
  signal: AbortSignal,
): Promise<{ url: string }> {
  const { termsOfService, externalAccountRequired } = await readDirectory(connection, signal);
  if (termsOfService !== undefined && terms !== true && terms !== termsOfService) {
    const detail = `the CA's terms of service are not agreed to: read ${termsOfService}, and give terms: true`;
    throw new IssuanceError('misconfigured', detail);
  }
  if (externalAccountRequired && !eab) {
    throw new IssuanceError('misconfigured', 'the CA wants an external account binding: give eab');
  }
  const account = { contact, termsOfServiceAgreed: termsOfService !== undefined, eab };
  return createAccount(connection, key, account, signal);
}
