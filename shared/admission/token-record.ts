import { hash, randomBytes } from 'node:crypto';
import { damagedValue } from '../base/errors.ts';
import {
  isFlag,
  isNumber,
  isText,
  listOf,
  optional,
  type Redis,
  type Store,
  shapeOf,
} from '../base/redis.ts';
import { fromSealed, type Seals, toSealed } from './hmac.ts';
import type { ShownToken } from './token-types.ts';

// What Redis keeps of tokens. Whoever can write to Redis does not know the secret of the installation, with
// which each record is sealed: a record written by hand is not believed.

/** What a token is good for. Times are milliseconds since the epoch. */
export type TokenRecord = {
  name: string;
  /** The auth block that takes it. */
  block: string;
  /** Globs of names and CIDRs of addresses, to which it narrows those of the block. */
  names: string[];
  /** It is good for one certificate. */
  once: boolean;
  made: number;
  /** It is good for nothing from then on. */
  until?: number;
  revoked?: number;
};

/** What a one-time token was used for. */
export type TokenUse = {
  /** Digest of the CSR that it is bound to. */
  csr: string;
  job: string;
  at: number;
  /** Whether the job was enqueued for sure. */
  enqueued: boolean;
};

const isTokenRecord = shapeOf<TokenRecord>({
  ...{ name: isText, block: isText, names: listOf(isText), once: isFlag, made: isNumber },
  ...{ until: optional(isNumber), revoked: optional(isNumber) },
});
const isTokenUse = shapeOf<TokenUse>({ csr: isText, job: isText, at: isNumber, enqueued: isFlag });

/** A prefix by which people, and programs that look for secrets, recognise it. */
const PREFIX = 'quarry_';
const BYTES = 32;

export const newToken = (): string => PREFIX + randomBytes(BYTES).toString('base64url');

const credentials = new RegExp(`^bearer +(${PREFIX}[A-Za-z0-9_-]{43})$`, 'i');

/**
 * @param values of the Authorization header, each as it came (RFC 6750 section 2.1)
 * @returns `undefined` where there is no bearer token
 */
export function readBearer(values: readonly string[]): ShownToken | undefined {
  if (!values.some(value => /^\s*bearer\b/i.test(value))) return undefined;
  const [token] = values.length === 1 ? (credentials.exec(values[0]?.trim() ?? '')?.slice(1) ?? []) : [];
  return { digest: token === undefined ? undefined : tokenDigest(token) };
}

export const tokenDigest = (token: string): string => hash('sha256', token);

export const isTokenDigest = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

/**
 * The key by which an ACME client's account is bound to a token, 32 bytes. Redis knows neither it nor what it
 * is made of, so who reads Redis can bind nothing.
 */
export const tokenBindingKey = (seals: Seals, digest: string): Buffer =>
  Buffer.from(seals.sealOf('eab', digest), 'hex');

/** The keys of a token, by its digest: of its record, and of what a one-time token was used for. */
export const tokenKey = (prefix: string, digest: string) => `${prefix}:token:${digest}`;
export const tokenUseKey = (prefix: string, digest: string) => `${prefix}:token-use:${digest}`;

/** Reads and writes what Redis keeps of tokens. What bears no seal, or that of another, is not there. */
type TokenRecords = {
  /**
   * One command. A use without a seal ends the token rather than to make it good again.
   *
   * @throws IssuanceError `misconfigured` where its use bears no seal
   */
  read(digest: string): Promise<KeptToken | undefined>;
  /** @throws IssuanceError `misconfigured` where it bears no seal */
  openUse(digest: string, text: string): TokenUse;
  toText(digest: string, record: TokenRecord): string;
  toUseText(digest: string, use: TokenUse): string;
};

export type KeptToken = {
  record: TokenRecord;
  /** As it is in Redis. */
  text: string;
  use: TokenUse | undefined;
  useText: string | undefined;
};

/** @param seals of the installation: all that is written bears one */
export function openTokenRecords(
  { redis, prefix }: { redis: Pick<Redis, 'mget'> } & Pick<Store, 'prefix'>,
  seals: Seals,
): TokenRecords {
  const recordOf = (digest: string) => `token ${digest}`;
  const useOf = (digest: string) => `token use ${digest}`;

  function open<T>(of: string, sealed: string, isValid: (value: unknown) => value is T): T | undefined {
    const text = fromSealed(seals, of, sealed);
    if (text === undefined) return undefined;
    const value: unknown = JSON.parse(text);
    return isValid(value) ? value : undefined;
  }
  function openUse(digest: string, text: string): TokenUse {
    const use = open(useOf(digest), text, isTokenUse);
    if (use) return use;
    throw damagedValue(tokenUseKey(prefix, digest));
  }

  return {
    async read(digest) {
      const [text, used] = await redis.mget(tokenKey(prefix, digest), tokenUseKey(prefix, digest));
      const record = text ? open(recordOf(digest), text, isTokenRecord) : undefined;
      if (!text || !record) return undefined;
      return { record, text, use: used ? openUse(digest, used) : undefined, useText: used ?? undefined };
    },
    openUse,
    toText: (digest, record) => toSealed(seals, recordOf(digest), JSON.stringify(record)),
    toUseText: (digest, use) => toSealed(seals, useOf(digest), JSON.stringify(use)),
  };
}
