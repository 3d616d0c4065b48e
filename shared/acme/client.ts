import { createHash } from 'node:crypto';
import type { Identifier } from '../pki/identifier.ts';
import { AcmeApi } from './acme-api.ts';
import type { CaConnection, HttpAnswer } from './ca-connection.ts';
import { type AcmeAuthorization, type AcmeOrder, text, toAuthorization, toOrder } from './objects.ts';
import { endsAtIssuer, readAlternates } from './preferred-chain.ts';
import { AcmeTransport } from './transport.ts';

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

/** Opens the calls of an account (section 7) over a shared connection; cheap, one per job, so that its signal reaches every request. */
export function openAcmeClient(
  connection: CaConnection,
  account: AcmeAccount,
  signal: AbortSignal,
): AcmeClient {
  const transport = new AcmeTransport(connection, account, signal);
  const api = new AcmeApi(transport, account.url);
  const read = (answer: HttpAnswer, url: string) => toOrder(answer, url, connection.clock.now());
  return {
    async newOrder(identifiers, { profile, replaces } = {}) {
      const renews =
        replaces !== undefined && typeof (await transport.getDirectory()).renewalInfo === 'string';
      const options = { ...(profile !== undefined && { profile }), ...(renews && { replaces }) };
      const answer = await api.createOrder({ identifiers, ...options });
      return read(answer, text(answer.headers.location, 'the URL of the new order'));
    },
    getOrder: async url => read(await api.getOrder(url), url),
    getAuthorization: async url => toAuthorization(await api.getAuthorization(url), url),
    initiateChallenge: async url => {
      await api.completeChallenge(url, {});
    },
    finalize: async (order, csr) =>
      read(await api.finalizeOrder(order.finalize, { csr: csr.toString('base64url') }), order.url),
    async downloadChain(url, preferredIssuer) {
      const answer = await api.apiRequest(url);
      const chain = text(answer.data, 'a certificate chain');
      if (preferredIssuer === undefined || endsAtIssuer(chain, preferredIssuer)) return chain;
      for (const alternate of readAlternates(answer.headers.link, url)) {
        const other = text((await api.apiRequest(alternate)).data, 'a certificate chain');
        if (endsAtIssuer(other, preferredIssuer)) return other;
      }
      return chain;
    },
    accountUrl: account.url,
    keyAuthorization(token) {
      const thumbprint = createHash('sha256').update(JSON.stringify(transport.getJwk())).digest('base64url');
      return `${token}.${thumbprint}`;
    },
  };
}
