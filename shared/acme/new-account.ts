import { IssuanceError } from '../base/errors.ts';
import { AcmeApi } from './acme-api.ts';
import type { CaConnection, HttpAnswer } from './ca-connection.ts';
import { readDirectory } from './directory.ts';
import { problemKind } from './problem.ts';
import { type AcmeResource, toResource } from './resource.ts';
import { openTransport } from './transport.ts';

/** What a new account says of itself. */
export type NewAccount = {
  /** URLs such as `mailto:admin@example.org`. */
  contact?: string[] | undefined;
  /** Whether the CA's terms, which `readTermsOfService` tells the URL of, are agreed to. */
  termsOfServiceAgreed: boolean;
  /** External account binding (section 7.3.4): `hmacKey` in base64url, as the CA hands it out. */
  eab?: { kid: string; hmacKey: string } | undefined;
};

/**
 * Makes an account for a key (RFC 8555 section 7.3). A CA that knows the key already answers with its account.
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
  const api = new AcmeApi(openTransport(connection, keyPem, signal, eab));
  const agreed = termsOfServiceAgreed && { termsOfServiceAgreed };
  return toAccount(await api.createAccount({ ...agreed, ...(contact.length > 0 && { contact }) }));
}

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
  try {
    const api = new AcmeApi(openTransport(connection, keyPem, signal));
    return toAccount(await api.createAccount({ onlyReturnExisting: true }));
  } catch (error) {
    if (error instanceof IssuanceError && problemKind(error.problem) === 'accountDoesNotExist')
      return undefined;
    throw error;
  }
}

/** The URL of the CA's terms of service (RFC 8555 section 7.1.1); `undefined` where it has none. */
export async function readTermsOfService(
  connection: CaConnection,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { meta } = (await readDirectory(connection, signal)) as {
    meta?: { termsOfService?: unknown } | null;
  };
  return typeof meta?.termsOfService === 'string' ? meta.termsOfService : undefined;
}

function toAccount(answer: HttpAnswer): AcmeResource {
  if (!answer.headers.location)
    throw new IssuanceError('unexpected', "the CA's answer lacks the account's URL");
  return toResource(answer.headers.location, answer.data);
}
