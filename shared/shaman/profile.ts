import { type ChallengeType, type Identifier, parseIdentifier } from '../base/identifier.ts';
import { parseAcmeServer, parseContact, parseEabKey } from '../ca/account-section.ts';
import { ConfigError } from '../config/config-error.ts';
import { parseText } from '../config/option-values.ts';
import type { Fail, Parse } from '../config/section-reader.ts';
import type { KeyType } from '../pki/private-key.ts';
import { type DomainMemory, type ProfileMemory, parseDomainMemory, parseProfileMemory } from './memory.ts';

/** The programs that present a challenge response and take it back, as they are written. */
type Authenticator = { present: string; cleanup?: string };
type Authenticators = Map<Exclude<ChallengeType, 'dns-persist-01'>, Authenticator>;

/** concorde's `shaman.json`, read. Names of files are relative to its directory. */
export type ShamanProfile = {
  /** The URL of the CA's directory. */
  server: string;
  /** Days before the end of a certificate; a third of its life where nothing is set. */
  renewal: number | undefined;
  /** For domains that have none of their own for a challenge. */
  authenticators: Authenticators;
  /** The file of the account key, where it was made. */
  key: string | undefined;
  accountUrl: string | undefined;
  /** `mailto:` URLs. */
  contact: string[];
  eab: { kid: string; hmacKey: string } | undefined;
  /** Of Python's levels, such as 20 for INFO. */
  logThreshold: number;
  domains: ShamanDomain[];
  memory: ProfileMemory;
};

export type ShamanDomain = {
  /** As it is written; its files are named by it. */
  name: string;
  /** What its certificate is for: the name, then its `names`. */
  identifiers: Identifier[];
  authenticators: Authenticators;
  /** Of a key that is still to be made. */
  keyType: KeyType;
  certificateProfile: string | undefined;
  /** A program to be run after a new certificate is on disk. */
  deploy: string | undefined;
  key: string | undefined;
  orderUrl: string | undefined;
  certificateUrl: string | undefined;
  memory: DomainMemory;
};

const INFO = 20;

/**
 * Reads what `shaman.json` holds. Keys that are not known are passed over, as concorde passes over them.
 *
 * @param file named in errors
 * @throws ConfigError with one line
 */
export function parseShamanProfile(value: unknown, file: string): ShamanProfile {
  const reader = new JsonReader(value, file);
  const server =
    reader.parsed('server', parseAcmeServer) ?? reader.fail('is missing: the URL of the CA', 'server');
  const domains = reader.object('domains') ?? reader.fail('is missing: the names to be certified', 'domains');
  return {
    server,
    renewal: reader.number('renewal', 0),
    authenticators: parseAuthenticators(reader.object('authenticators')),
    key: reader.parsed('key', parseText),
    accountUrl: reader.parsed('account_id', parseUrl),
    contact: reader.many('contact', parseContact),
    eab: parseEab(reader.object('eab')),
    logThreshold: reader.number('logThreshold', 0) ?? INFO,
    domains: domains.keys.map(name => parseDomain(name, domains)),
    memory: parseProfileMemory(reader.raw('quarry')),
  };
}

function parseDomain(name: string, domains: JsonReader): ShamanDomain {
  const reader = domains.object(name) ?? domains.fail('must be an object, { … }', name);
  const own = parseName(name, reason => reader.fail(reason));
  const identifiers = [own, ...reader.many('names', parseName)];
  return {
    name,
    identifiers: [...new Map(identifiers.map(one => [`${one.type}:${one.value}`, one])).values()],
    authenticators: parseAuthenticators(reader.object('authenticators')),
    keyType: reader.parsed('key_type', parseKeyType) ?? 'P-384',
    certificateProfile: reader.parsed('profile', parseText),
    deploy: reader.parsed('deploy', parseText),
    key: reader.parsed('key', parseText),
    orderUrl: reader.parsed('order_id', parseUrl),
    certificateUrl: reader.parsed('certificate_id', parseUrl),
    memory: parseDomainMemory(reader.raw('quarry')),
  };
}

/**
 * A challenge that no program answers today, as of a file that is ten years old, is passed over: no CA offers
 * it.
 */
function parseAuthenticators(reader: JsonReader | undefined): Authenticators {
  const authenticators: Authenticators = new Map();
  for (const challenge of ['dns-01', 'http-01', 'tls-alpn-01'] as const) {
    const authenticator = reader && parseAuthenticator(reader, challenge);
    if (authenticator) authenticators.set(challenge, authenticator);
  }
  return authenticators;
}

function parseAuthenticator(reader: JsonReader, challenge: string): Authenticator | undefined {
  const value = reader.raw(challenge);
  if (value === undefined) return undefined;
  if (typeof value === 'string') return { present: reader.parsed(challenge, parseText) ?? '' };
  const both = reader.object(challenge);
  const present =
    both?.parsed('present', parseText) ?? both?.fail('is missing: the program to be run', 'present');
  const cleanup = both?.parsed('cleanup', parseText);
  return { present: present ?? '', ...(cleanup !== undefined && { cleanup }) };
}

function parseEab(reader: JsonReader | undefined): ShamanProfile['eab'] {
  if (!reader) return undefined;
  const kid = reader.parsed('kid', parseText) ?? reader.fail('is missing', 'kid');
  return { kid, hmacKey: reader.parsed('hmac_key', parseEabKey) ?? reader.fail('is missing', 'hmac_key') };
}

const parseUrl: Parse<string> = (text, fail) => (URL.canParse(text) ? text : fail('is not a URL'));

const parseName: Parse<Identifier> = (text, fail) => {
  try {
    return parseIdentifier(text);
  } catch (error) {
    return fail((error as Error).message);
  }
};

const keyTypes: Record<string, KeyType> = {
  secp384r1: 'P-384',
  secp256r1: 'P-256',
  rsa2048: 'RSA-2048',
  rsa3072: 'RSA-3072',
  rsa4096: 'RSA-4096',
};

function parseKeyType(text: string, fail: Fail): KeyType {
  const word = text.toLowerCase();
  const known = Object.keys(keyTypes).map(one => one.toUpperCase());
  return (Object.hasOwn(keyTypes, word) && keyTypes[word]) || fail(`is none of ${known.join(', ')}`);
}

/**
 * Hands out the members of one object of a JSON file, typed. What is wrong ends as a ConfigError of one line
 * with the file's path and the member's, such as `shaman.json: domains."example.org".renewal: …`. Values are
 * never repeated in it.
 */
class JsonReader {
  readonly #object: Record<string, unknown>;
  readonly #file: string;
  readonly #path: readonly string[];

  constructor(value: unknown, file: string, path: readonly string[] = []) {
    this.#file = file;
    this.#path = path;
    if (!isObject(value)) this.fail('must be an object, { … }');
    this.#object = value;
  }

  get keys(): string[] {
    return Object.keys(this.#object);
  }

  /** The value as it stands; `undefined` where there is none, or null. */
  raw(key: string): unknown {
    return Object.hasOwn(this.#object, key) ? (this.#object[key] ?? undefined) : undefined;
  }

  text(key: string): string | undefined {
    const value = this.raw(key);
    return value === undefined || typeof value === 'string' ? value : this.fail('must be a text, "…"', key);
  }

  /** A text that means something. */
  parsed<T>(key: string, parse: Parse<T>): T | undefined {
    const value = this.text(key);
    return value === undefined ? undefined : parse(value, reason => this.fail(reason, key));
  }

  /** A list of texts, or one alone. */
  many<T>(key: string, parse: Parse<T>): T[] {
    const value = this.raw(key) ?? [];
    const texts: unknown[] = Array.isArray(value) ? value : [value];
    return texts.map(one =>
      typeof one === 'string'
        ? parse(one, reason => this.fail(reason, key))
        : this.fail('must be a list of texts', key),
    );
  }

  number(key: string, least: number): number | undefined {
    const value = this.raw(key);
    if (value === undefined || (typeof value === 'number' && value >= least)) return value;
    return this.fail(`must be a number, ${least} or more`, key);
  }

  object(key: string): JsonReader | undefined {
    const value = this.raw(key);
    return value === undefined ? undefined : new JsonReader(value, this.#file, [...this.#path, key]);
  }

  fail(reason: string, key?: string): never {
    const path = [...this.#path, ...(key === undefined ? [] : [key])].map(toStep).join('.');
    throw new ConfigError({ file: this.#file, option: path }, reason);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const toStep = (key: string) => (/^[\w-]+$/.test(key) ? key : JSON.stringify(key));
