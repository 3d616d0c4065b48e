import { createHash } from 'node:crypto';
import { IssuanceError, type Problem } from '../base/errors.ts';
import type { Identifier } from '../pki/identifier.ts';
import { AcmeApi } from './acme-api.ts';
import type { CaConnection, HttpAnswer } from './ca-connection.ts';
import { endsAtIssuer, readAlternates } from './preferred-chain.ts';
import { parseProblem } from './problem.ts';
import { parseRetryAfter } from './retry-after.ts';
import { tokenPattern } from './token.ts';
import { AcmeTransport } from './transport.ts';

/** RFC 8555 section 7.1.3. */
export type AcmeOrder = {
  url: string;
  status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid';
  authorizations: string[];
  finalize: string;
  certificate?: string | undefined;
  error?: Problem | undefined;
  /** When the CA wants to be asked again, in milliseconds since the epoch. */
  retryAfter?: number | undefined;
};

/** RFC 8555 section 7.1.4. `identifier.value` of a wildcard comes without its `*.`. */
export type AcmeAuthorization = {
  url: string;
  status: string;
  identifier: Identifier;
  wildcard: boolean;
  challenges: AcmeChallenge[];
};

/** RFC 8555 section 7.1.5. */
export type AcmeChallenge = {
  type: string;
  url: string;
  status: string;
  /** Empty where the kind of challenge has none. */
  token: string;
  error?: Problem | undefined;
  /** Of dns-persist-01: what the CA calls itself, one to ten names (draft-ietf-acme-dns-persist-01 section 3.1). */
  issuerDomainNames?: string[];
  /** Of dns-persist-01: the account's URL, as the CA wants to read it, where it says so. */
  accountUrl?: string;
};

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
export function openAcmeClient(connection: CaConnection, account: AcmeAccount, signal: AbortSignal): AcmeClient {
  const transport = new AcmeTransport(connection, account, signal);
  const api = new AcmeApi(transport, account.url);
  const read = (answer: HttpAnswer, url: string) => toOrder(answer, url, connection.clock.now());
  return {
    async newOrder(identifiers, { profile, replaces } = {}) {
      const renews = replaces !== undefined && typeof (await transport.getDirectory()).renewalInfo === 'string';
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

const orderStates = ['pending', 'ready', 'processing', 'valid', 'invalid'] as const;

function toOrder({ data, headers }: HttpAnswer, url: string, now: number): AcmeOrder {
  const order = object(data, 'an order');
  const status = orderStates.find(state => state === order.status);
  if (!status || !Array.isArray(order.authorizations)) throw unexpected('an order');
  return {
    url,
    status,
    authorizations: order.authorizations.map(one => text(one, 'an authorization URL')),
    finalize: text(order.finalize, 'a finalize URL'),
    certificate: typeof order.certificate === 'string' ? order.certificate : undefined,
    error: parseProblem(order.error),
    retryAfter: parseRetryAfter(headers['retry-after'], now),
  };
}

function toAuthorization({ data }: HttpAnswer, url: string): AcmeAuthorization {
  const authorization = object(data, 'an authorization');
  const identifier = object(authorization.identifier, 'an identifier');
  if (!Array.isArray(authorization.challenges)) throw unexpected('an authorization');
  return {
    url,
    status: text(authorization.status, 'an authorization status'),
    identifier: {
      type: identifier.type === 'ip' ? 'ip' : 'dns',
      value: text(identifier.value, 'an identifier'),
    },
    wildcard: authorization.wildcard === true,
    challenges: authorization.challenges.map(toChallenge),
  };
}

function toChallenge(data: unknown): AcmeChallenge {
  const { type, url, status, token, error, accounturi, ...more } = object(data, 'a challenge');
  const issuerDomainNames = toIssuerDomainNames(more['issuer-domain-names']);
  return {
    type: text(type, 'a challenge type'),
    url: text(url, 'a challenge URL'),
    status: text(status, 'a challenge status'),
    // A hostile token is as good as none.
    token: typeof token === 'string' && tokenPattern.test(token) ? token : '',
    error: parseProblem(error),
    ...(issuerDomainNames && { issuerDomainNames }),
    ...(typeof accounturi === 'string' && accountUri.test(accounturi) && { accountUrl: accounturi }),
  };
}

/** Those of a challenge that breaks the draft's rules are as good as none. */
function toIssuerDomainNames(value: unknown): string[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > 10) return undefined;
  return value.every(name => typeof name === 'string' && issuerDomainName.test(name)) ? value : undefined;
}

/** As it can stand in a record: printable, without what would end it there. */
const accountUri = /^https?:\/\/[\x21\x23-\x3a\x3c-\x5b\x5d-\x7e]{1,2000}$/;
const issuerDomainName = /^(?=.{1,253}$)[a-z0-9_-]+(\.[a-z0-9_-]+)*$/;

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw unexpected(what);
  return value as Record<string, unknown>;
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '') throw unexpected(what);
  return value;
}

const unexpected = (what: string) => new IssuanceError('unexpected', `the CA's answer lacks ${what}`);
