import { createHmac } from 'node:crypto';
import { IssuanceError } from '../base/errors.ts';
import type { AccountKey } from './account-key.ts';
import { type AcmeAccount, encodeJws, type Jws, openSigner, signJws } from './client.ts';
import { type CaConnection, readDirectory } from './connection.ts';
import { type HttpAnswer, object, resolveUrl } from './objects.ts';
import { problemKind } from './problem.ts';
import type { AcmeResource } from './resource.ts';

/** External account binding (RFC 8555 section 7.3.4): `hmacKey` in base64url, as the CA hands it out. */
export type ExternalAccountBinding = { kid: string; hmacKey: string };

/** What a new account says of itself. */
export type NewAccount = {
  /** URLs such as `mailto:admin@example.org`. */
  contact?: string[] | undefined;
  /** Whether the CA's terms are agreed to; `readTermsOfService` gets their URL. */
  termsOfServiceAgreed: boolean;
  eab?: ExternalAccountBinding | undefined;
};

/**
 * Makes an account for a key (RFC 8555 section 7.3). A CA that knows the key already answers with its
 * account.
 *
 * @param keyPem PKCS#8, RSA or EC
 * @throws IssuanceError `misconfigured` when the CA wants the terms agreed to or an external binding
 */
export async function createAccount(
  connection: CaConnection,
  keyPem: string,
  { contact = [], termsOfServiceAgreed, eab }: NewAccount,
  signal: AbortSignal,
): Promise<AcmeResource> {
  const agreed = termsOfServiceAgreed && { termsOfServiceAgreed };
  const account = { ...agreed, ...(contact.length > 0 && { contact }) };
  const signer = openSigner(connection, { keyPem }, signal);
  const bound = (url: string) => eab && { externalAccountBinding: bindAccount(signer.key, eab, url) };
  return toAccount(await signer.postTo('newAccount', url => ({ ...account, ...bound(url) })));
}

/** RFC 8555 section 7.3.4: the account's public key, signed with the MAC key that the CA handed out. */
function bindAccount({ jwk }: AccountKey, { kid, hmacKey }: ExternalAccountBinding, url: string): Jws {
  const parts = encodeJws({ alg: 'HS256', kid, url }, JSON.stringify(jwk));
  const mac = createHmac('sha256', Buffer.from(hmacKey, 'base64')); // reads base64url too
  return { ...parts, signature: mac.update(`${parts.protected}.${parts.payload}`).digest('base64url') };
}

/**
 * How CAs say that they have no account for a key. Some look first at what they want of a new one, before
 * they see that none is to be made.
 */
const wantsMore = new Set([
  'accountDoesNotExist',
  'externalAccountRequired',
  'userActionRequired',
  'invalidContact',
  'unsupportedContact',
]);

/**
 * The account that a CA has for a key (RFC 8555 section 7.3.1).
 *
 * @param keyPem PKCS#8, RSA or EC
 * @returns `undefined` where the CA knows none
 */
export async function findAccount(
  connection: CaConnection,
  keyPem: string,
  signal: AbortSignal,
): Promise<AcmeResource | undefined> {
  const signer = openSigner(connection, { keyPem }, signal);
  try {
    return toAccount(await signer.postTo('newAccount', () => ({ onlyReturnExisting: true })));
  } catch (error) {
    if (error instanceof IssuanceError && wantsMore.has(problemKind(error.problem))) return undefined;
    throw error;
  }
}

/** The URL of the CA's terms of service (RFC 8555 section 7.1.1); `undefined` where it has none. */
export async function readTermsOfService(
  connection: CaConnection,
  signal: AbortSignal,
): Promise<string | undefined> {
  return (await readDirectory(connection, signal)).termsOfService;
}

/**
 * Replaces the contacts of an account (RFC 8555 section 7.3.2), `mailto:` URLs. @returns the account object
 */
export async function updateContact(
  connection: CaConnection,
  account: AcmeAccount,
  contact: string[],
  signal: AbortSignal,
): Promise<unknown> {
  return (await openSigner(connection, account, signal).post(account.url, { contact })).data;
}

/**
 * Ends an account for good (section 7.3.6): the CA refuses its key from then on. @returns the account object
 */
export async function deactivateAccount(
  connection: CaConnection,
  account: AcmeAccount,
  signal: AbortSignal,
): Promise<unknown> {
  const signer = openSigner(connection, account, signal);
  return (await signer.post(account.url, { status: 'deactivated' })).data;
}

/**
 * Gives an account a new key (section 7.3.5). Keep the new key safe before the call: once it has succeeded,
 * the old one is worth nothing.
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
  const successor = openSigner(connection, { keyPem: newKeyPem }, signal).key;
  const signer = openSigner(connection, account, signal);
  const change = JSON.stringify({ account: account.url, oldKey: signer.key.jwk });
  // The inner request proves that the new key is held; it has no nonce, as the outer one has it.
  const inner = (url: string) => signJws(successor, { url, jwk: successor.jwk }, change);
  await signer.postTo('keyChange', inner);
  return { keyPem: newKeyPem, url: account.url };
}

/** Some CAs send the account's URL and nothing else. */
function toAccount(answer: HttpAnswer): AcmeResource {
  const { location } = answer.headers;
  if (!location) throw new IssuanceError('unexpected', "the CA's answer lacks the account's URL");
  const url = resolveUrl(location, answer);
  return { url, object: answer.data === '' ? {} : object(answer, "the account's object") };
}
