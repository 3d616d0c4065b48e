import { LRUCache } from 'lru-cache';
import { type Identifier, toAddressSet } from '../base/identifier.ts';
import type { ShownCertificate } from './client-ca.ts';
import type { OnceOnly } from './hmac2.ts';
import type { OneCertificate, ShownToken } from './token-types.ts';

/** What a client shows of itself. */
export type AdmissionRequest = {
  /** Canonical: IPv4-mapped addresses as IPv4, without zone. See clientAddress(). */
  clientIp: string;
  /** As the request line has it. */
  method: string;
  /** Path and query, as the request line has them. */
  target: string;
  /** What its Authentication header says, not verified yet. */
  claim: HmacClaim | undefined;
  /** Its certificate, or why the one that it shows does not count. */
  certificate?: ShownCertificate | undefined;
  /** Its bearer token. */
  token?: ShownToken;
  /** That of an ACME client's account; undefined where it has none, and absent where no account asks. */
  binding?: AccountBinding | undefined;
};

/** The external account binding of an ACME client's account (RFC 8555 section 7.3.4). */
export type AccountBinding = {
  /** Whose key it claims to be made with: an auth block's, or a token's by its digest. */
  kid: string;
  /** Whether its MAC is by this key. Takes the same time whichever bytes differ. */
  isMadeWith(key: string | Buffer): boolean;
};

/** What a client claims: "the HMAC of my request with this hash is that". */
export type HmacClaim = {
  /** Node's name. */
  hash: string;
  digest: Buffer;
  /** Of version 2 alone. */
  once?: OnceOnly;
};

/** What a method found to be true of a request's client. */
export type KnownClient = {
  /** Who asked, in a few words for the trail, without secrets: `hmac key 2`. */
  by: string;
  /** The names that it narrows those of its block to, for this request; all where it is absent. */
  mayHave?(identifier: Identifier): boolean;
  /** The one certificate that a one-time token is good for. */
  once?: OneCertificate;
  /** The names that the client has of itself, for which `{client}` stands in its block; as text. */
  clientNames?: readonly string[];
  /** It is known by its account's binding. */
  bound?: true;
};

/** Why a request is not from a client, in words that may be told to whoever sent it. */
type Refusal = { refused: string };

export type Verdict = KnownClient | Refusal | undefined;

/** One way of an auth block to recognise its clients. */
export type AdmissionMethod = {
  /** Cheap, before the body is read: whether `holds` could know the client. */
  possible(request: AdmissionRequest): boolean;
  /**
   * Who the client of this block is that sent the request.
   *
   * @param body the bytes as posted; undefined where the request has none by its method
   * @returns undefined where it is from no client and there is no more to say
   */
  holds(request: AdmissionRequest, body: Buffer | undefined): Verdict | Promise<Verdict>;
};

/** `all = yes`: every client. */
export const allMethod: AdmissionMethod = {
  possible: () => true,
  holds: () => ({ by: 'all' }),
};

/** Addresses of clients, which come again and again; each is asked for twice a request. */
const MOST_REMEMBERED = 1_000;

/** `ip = …`: clients by their address. */
export function clientIpMethod(cidrs: readonly string[]): AdmissionMethod {
  const contains = toAddressSet(cidrs);
  const known = new LRUCache<string, boolean>({ max: MOST_REMEMBERED });
  const possible = ({ clientIp }: Pick<AdmissionRequest, 'clientIp'>) => {
    const last = known.get(clientIp);
    if (last !== undefined) return last;
    const found = contains(clientIp);
    known.set(clientIp, found);
    return found;
  };
  return { possible, holds: request => (possible(request) ? { by: 'address' } : undefined) };
}
