import { createHash } from 'node:crypto';
import type { Identifier } from '../../base/identifier.ts';
import type { DnsServer } from '../../dns/exchange.ts';

// What a look at a client's own proof needs, and what it finds.

/** What the client has promised to show. */
export type Proof = {
  identifier: Identifier;
  token: string;
  /** Of the key of its account (RFC 7638). */
  thumbprint: string;
};

/** Where the looks go. */
export type Sight = {
  /** DNS servers that names are looked up with; the system's where empty. */
  resolvers: readonly DnsServer[];
  /** Where names are served over HTTP and TLS. */
  httpPort: number;
  tlsPort: number;
  /** CIDRs of addresses that are not public, and that names may lead to all the same. */
  networks: readonly string[];
  /** The address that the order came from. */
  client: string;
};

/** Why the response was not seen (the error types of RFC 8555 section 6.7). */
export type Unproven = {
  kind: 'connection' | 'dns' | 'incorrectResponse' | 'tls' | 'serverInternal';
  /** One line for the client. */
  detail: string;
  /** What is for the log alone, as it tells of addresses that are not public. */
  hidden?: string;
};

/** Looks once. @returns `undefined` where the response is there; rejects with the signal's reason alone */
export type Look = (proof: Proof, sight: Sight, signal: AbortSignal) => Promise<Unproven | undefined>;

/** Milliseconds, for all of one look. */
export const LONGEST_LOOK = 10_000;

/** RFC 8555 section 8.1. */
export const toKeyAuthorization = ({ token, thumbprint }: Proof) => `${token}.${thumbprint}`;

/** What dns-01 and tls-alpn-01 show of it. */
export const toDigest = (proof: Proof): Buffer =>
  createHash('sha256').update(toKeyAuthorization(proof)).digest();
