import { X509Certificate } from 'node:crypto';
import type { Identifier } from '../pki/identifier.ts';
import { splitChain } from '../pki/pem.ts';
import { type CaConnection, readDirectory } from './connection.ts';
import { readLinks } from './links.ts';
import {
  type AcmeAuthorization,
  type AcmeOrder,
  type HttpAnswer,
  text,
  toAuthorization,
  toOrder,
} from './objects.ts';
import { openSigner } from './signed-request.ts';

const MOST_ALTERNATES = 10;

/** The signed calls of one account (RFC 8555 section 7). Each rejects with an `IssuanceError` or the signal's reason. */
export type AcmeClient = {
  /**
   * Section 7.4.
   *
   * @param options `profile`: a certificate profile that the CA's directory offers; `replaces`: the certificate that this
   *   order renews (RFC 9773 section 5), passed over where the CA has no renewal information
   */
  newOrder(
    identifiers: Identifier[],
    options?: { profile?: string | undefined; replaces?: string | undefined },
  ): Promise<AcmeOrder>;
  /** Sections 7.1.6 and 7.4: how far the order is. */
  getOrder(url: string): Promise<AcmeOrder>;
  /** Section 7.5: what is to be proven of one name, and how it can be. */
  getAuthorization(url: string): Promise<AcmeAuthorization>;
  /** Tells the CA that the challenge can be validated (section 7.5.1). */
  initiateChallenge(url: string): Promise<void>;
  /**
   * Asks for the certificate of an order that is ready (section 7.4).
   *
   * @param csr DER, for all of the order's names
   */
  finalize(order: AcmeOrder, csr: Buffer): Promise<AcmeOrder>;
  /**
   * Fetches the certificate of an order that is valid (section 7.4.2).
   *
   * @param preferredIssuer of several chains that the CA offers (section 7.4.2), the one whose topmost certificate this
   *   issuer signed is taken, where there is one
   * @returns the chain as the CA sends it, PEM
   */
  downloadChain(url: string, preferredIssuer?: string): Promise<string>;
  /** What the account is called at the CA (section 7.1.2). */
  readonly accountUrl: string;
  /** Section 8.1: the token and the account key's thumbprint (RFC 7638). */
  keyAuthorization(token: string): string;
};

/** An account that exists at the CA. `keyPem` is PKCS#8. */
export type AcmeAccount = { keyPem: string; url: string };

/**
 * Opens the calls of an account (RFC 8555 section 7) over a shared connection; cheap, one for each job, so that its
 * signal reaches every request.
 *
 * @param timeout milliseconds for one answer, asked before each request; 30 seconds where absent
 */
export function openAcmeClient(
  connection: CaConnection,
  account: AcmeAccount,
  signal: AbortSignal,
  timeout?: () => number,
): AcmeClient {
  const signer = openSigner(connection, account, signal, timeout);
  const read = (answer: HttpAnswer, url: string) => toOrder(answer, url, connection.clock.now());
  return {
    async newOrder(identifiers, { profile, replaces } = {}) {
      const { urls } = await readDirectory(connection, signal, timeout?.());
      const answer = await signer.postTo('newOrder', () => ({
        identifiers,
        ...(profile !== undefined && { profile }),
        ...(replaces !== undefined && urls.renewalInfo !== undefined && { replaces }),
      }));
      return read(answer, text(answer.headers.location, 'the URL of the new order'));
    },
    getOrder: async url => read(await signer.post(url), url),
    getAuthorization: async url => toAuthorization(await signer.post(url), url),
    initiateChallenge: async url => {
      await signer.post(url, {});
    },
    finalize: async ({ finalize, url }, csr) =>
      read(await signer.post(finalize, { csr: csr.toString('base64url') }), url),
    async downloadChain(url, preferredIssuer) {
      const answer = await signer.post(url);
      const chain = text(answer.data, 'a certificate chain');
      if (preferredIssuer === undefined || endsAtIssuer(chain, preferredIssuer)) return chain;
      const alternates = readLinks(answer.headers.link, 'alternate', url).slice(0, MOST_ALTERNATES);
      for (const alternate of alternates) {
        const other = text((await signer.post(alternate)).data, 'a certificate chain');
        if (endsAtIssuer(other, preferredIssuer)) return other;
      }
      return chain;
    },
    accountUrl: account.url,
    keyAuthorization: token => `${token}.${signer.key.thumbprint}`,
  };
}

/** Whether the topmost certificate of a chain was signed by an issuer of this common name. */
function endsAtIssuer(chain: string, issuer: string): boolean {
  const topmost = splitChain(chain).at(-1);
  if (!topmost) return false;
  const names = new X509Certificate(topmost).issuer.split('\n');
  return names.includes(`CN=${issuer}`);
}
