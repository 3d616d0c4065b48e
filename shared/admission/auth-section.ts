import { type ChallengeType, canProve, type Identifier, isEveryone } from '../base/identifier.ts';
import { parseCidr } from '../config/cidr.ts';
import { parseFlag, parseList } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import {
  type AccountChoice,
  type AccountReferences,
  chooseAccounts,
  parsePerAccount,
  parseWordPerAccount,
  toAccountChoices,
} from './account-choice.ts';
import { type Bounds, parseBounds } from './bounds.ts';
import { type ClientProof, parseClientProof } from './client-proof.ts';
import { hashNames, isBrokenHash, toHashName } from './hmac.ts';

/**
 * What of the orders of each of its accounts a block may use: `part` in (0, 1], together with all blocks
 * whose share has this name.
 */
type OrderShare = { name: string; part: number };

/** Which clients may have which names, and how their certificates are made and kept. */
export type AuthBlockConfig = {
  name: string;
  /** Addresses and CIDRs that the client must come from; empty when that does not matter. */
  ips: string[];
  /**
   * The hash by Node's name, and the keys of which one must have been used; by requests of version 2 alone
   * where it says so.
   */
  hmac?: { type: string; keys: string[]; version?: 2 };
  /** fnmatch globs, of which one DNS name of the client's certificate must match one. */
  clientCerts?: string[];
  /** The client must have a token for it. */
  token?: true;
  /** Every client is admitted. */
  all: boolean;
  /** fnmatch globs, as written. */
  domains: string[];
  /** CIDRs that IP addresses in a CSR must lie in. */
  addresses: string[];
  /** Of which types it admits the names of the client's own certificate; absent where of none. */
  ownNames?: Identifier['type'][];
  /** In the order of preference; at least one. */
  verifications: string[];
  /** What the verifications answer, in the same order. */
  challenges: ChallengeType[];
  storage: string;
  /** In the order of preference; at least one. */
  accounts: AccountChoice[];
  /** What it may use of the orders of each of its accounts; absent where they are not divided. */
  share?: OrderShare;
  /** Absent where it may use all that there is. */
  bounds?: Bounds;
  /** What its clients have to prove of their names; absent where nothing. */
  clientProof?: ClientProof;
};

/** What the options `account`, `verification` and `storage` may name, and what stands in for them. */
export type AuthReferences = AccountReferences & {
  verification: Parse<string>;
  challengeOf(verification: string): ChallengeType;
  storage: Parse<string>;
  /** Whether clients can show certificates at all. */
  asksForCertificates: boolean;
  defaultVerification(): string | undefined;
  defaultStorage(): string | undefined;
};

/** `[auth "name"]`, and what of its accounts' orders it says is its own, in percent. */
export function parseAuth(
  section: SectionReader,
  references: AuthReferences,
): { block: AuthBlockConfig; percent: number | undefined; section: SectionReader } {
  const ips = section.many('ip', parseCidr);
  const hmacType = section.one('hmac_type', parseHashName);
  const hmacKeys = section.secrets('hmac_key', parseHmacKey);
  const hmacVersion = section.one('hmac', parseHmacVersion);
  const all = section.one('all', parseFlag) ?? false;
  const clientCerts = section.many('client-cert', parseDomainGlob);
  const token = section.one('token', parseFlag) ?? false;
  const domains = section.many('domain', orClient(parseDomainGlob));
  const addresses = section.many('address', orClient(parseCidr));
  const named = section.many('verification', parseList(references.verification)).flat();
  const storage = section.one('storage', references.storage);
  const namedAccounts = section.many('account', parseList(references.account)).flat();
  const wanted = {
    'certificate-profile': section.one('certificate-profile', parseWordPerAccount(references.accountNames)),
    'preferred-chain': section.one('preferred-chain', parsePerAccount(references.accountNames)),
  };
  const percent = section.one('share', parsePercent);
  const bounds = parseBounds(section);
  const clientProof = parseClientProof(section, { ips, addresses });
  section.finish();
  const hmac = completeHmac(section, { type: hmacType, keys: hmacKeys, version: hmacVersion });
  const ownNames = findOwnNames(section, clientCerts, { domains, addresses }, references);
  const others = ips.length > 0 || hmac !== undefined || clientCerts.length > 0 || token;
  requireMethod(section, { all, others });
  const verifications =
    named.length > 0
      ? [...new Set(named)]
      : [references.defaultVerification() ?? namesNone(section, 'verification')];
  const chosen = chooseAccounts(section, namedAccounts, references);
  const accounts = toAccountChoices(section, chosen, wanted, references);
  const block = {
    name: section.label,
    ips,
    ...(hmac && { hmac }),
    ...(clientCerts.length > 0 && { clientCerts }),
    ...(token && { token: true as const }),
    all,
    domains: domains.filter(isNoClient),
    addresses: addresses.filter(isNoClient),
    ...(ownNames.length > 0 && { ownNames }),
    verifications,
    challenges: verifications.map(references.challengeOf),
    storage: storage ?? references.defaultStorage() ?? namesNone(section, 'storage'),
    accounts,
    ...(bounds && { bounds }),
    ...(clientProof && { clientProof }),
  };
  warnOfSurprises(section, block);
  return { block, percent, section };
}

/** As in macen, to have no default means that each block names its own. */
function namesNone(section: SectionReader, kind: 'verification' | 'storage'): never {
  return section.fail(`is missing, and [mgmt] default-${kind} is disabled`, kind);
}

/** Characters; shorter ones only make a warning, as macen takes any. */
const SHORTEST_KEY = 16;

function completeHmac(
  section: SectionReader,
  { type, keys, version }: { type: string | undefined; keys: string[]; version: 2 | undefined },
): AuthBlockConfig['hmac'] {
  if (type === undefined && keys.length === 0)
    return version && section.fail('needs hmac_type and hmac_key beside it', 'hmac');
  if (type === undefined) return section.fail('needs hmac_type beside it', 'hmac_key');
  if (keys.length === 0) return section.fail('needs hmac_key beside it', 'hmac_type');
  return { type, keys, ...(version && { version }) };
}

/** What stands in `domain` and `address` for the names of the client's own certificate. */
const CLIENT = '{client}';

const isNoClient = (text: string) => text !== CLIENT;

function orClient(parse: Parse<string>): Parse<string> {
  return (text, fail) => {
    if (text === CLIENT) return text;
    return /^\{.*\}$/.test(text)
      ? fail(`of what stands in braces, only ${CLIENT} is known`)
      : parse(text, fail);
  };
}

function findOwnNames(
  section: SectionReader,
  clientCerts: string[],
  { domains, addresses }: { domains: string[]; addresses: string[] },
  { asksForCertificates }: AuthReferences,
): Identifier['type'][] {
  if (clientCerts.length > 0 && !asksForCertificates)
    section.fail('needs client-ca in [mgmt]: no client is asked for a certificate', 'client-cert');
  const options = { domain: domains, address: addresses };
  const [option] = Object.entries(options).find(([, values]) => values.includes(CLIENT)) ?? [];
  if (option && clientCerts.length === 0) section.fail(`needs client-cert beside ${CLIENT}`, option);
  const types = { dns: domains, ip: addresses };
  return (['dns', 'ip'] as const).filter(type => types[type].includes(CLIENT));
}

/** In macen a block whose methods are all missing, or misspelt, admits everyone: here that has to be said. */
function requireMethod(section: SectionReader, { all, others }: { all: boolean; others: boolean }): void {
  if (all && others)
    section.fail(
      'admits everyone, which contradicts ip, hmac_type, client-cert and token; remove one',
      'all',
    );
  if (!all && !others)
    section.fail(
      'would admit everyone: give ip, hmac_type and hmac_key, client-cert or token, or say all = yes',
    );
}

function warnOfSurprises(section: SectionReader, block: AuthBlockConfig): void {
  const everyone = block.ips.find(isEveryone);
  if (everyone)
    section.warn(`${everyone} admits every ${everyone.includes(':') ? 'IPv6' : 'IPv4'} client`, 'ip');
  if (block.domains.length + block.addresses.length + (block.ownNames?.length ?? 0) === 0) {
    section.warn('has neither domain nor address, so it matches no CSR');
  }
  if (block.hmac?.keys.some(key => key.length < SHORTEST_KEY)) {
    section.warn('is short enough to be guessed; make one with: openssl rand -base64 32', 'hmac_key');
  }
  if (block.addresses.length > 0 && !block.challenges.some(provesAddresses)) {
    section.warn(
      'holds addresses that no verification of the block can prove: that takes http-01 or tls-alpn-01',
      'address',
    );
  }
}

const provesAddresses = (challenge: ChallengeType) => canProve(challenge, { type: 'ip', value: '192.0.2.1' });

const parseHashName: Parse<string> = (text, fail) => {
  if (isBrokenHash(text)) return fail('md5 and sha1 are too weak; use sha256');
  return toHashName(text) ?? fail(`unknown hash; known: ${hashNames.join(', ')}`);
};

const parseHmacVersion: Parse<2> = (text, fail) =>
  text.toLowerCase() === 'v2' ? 2 : fail('is not v2; without it, both versions are taken');

const parseHmacKey: Parse<string> = (text, fail) =>
  text || fail('is empty, so anyone could compute the HMAC');

const parseDomainGlob: Parse<string> = (text, fail) => {
  if (text === '') return fail('is empty');
  return /[\s/]/.test(text)
    ? fail('has a space or a / in it; give one glob a line, such as *.example.org')
    : text;
};

const parsePercent: Parse<number> = (text, fail) => {
  const percent = Number(/^(\d{1,3}(?:\.\d+)?)\s*%$/.exec(text)?.[1]);
  return percent > 0 && percent <= 100 ? percent : fail('is not a percentage such as 25%');
};
