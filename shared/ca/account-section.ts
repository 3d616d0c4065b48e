import type { ProxyEnv } from 'node:http';
import { resolve } from 'node:path';
import { isLoopback } from '../base/identifier.ts';
import { describeSection } from '../config/config-error.ts';
import { type Environment, readVariable } from '../config/environment.ts';
import type { OptionRows } from '../config/option-rows.ts';
import { parseCertificateFile, parseText, toFlag } from '../config/option-values.ts';
import { parseProxy, proxySecret, readProxy } from '../config/proxy.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import { type LimitsConfig, parseLimits } from '../limits/limits-section.ts';

/** An ACME account that Quarry holds. */
export type AccountConfig = {
  /** `default`, or the name in the section's heading. */
  name: string;
  /** The URL of the CA's directory. */
  acmeServer: string;
  /** Whether the CA's terms are accepted: all, none, or those at the listed URLs. */
  termsOfService: boolean | string[];
  /** Where `account.pem` and `registration.json` lie. */
  dir: string;
  /** URLs such as `mailto:admin@example.org`. */
  contact: string[];
  /** External account binding (RFC 8555 section 7.3.4), where the CA asks for it. */
  eab?: { kid: string; hmacKey: string };
  /** CA certificates (PEM) that the ACME server's own TLS is verified with. */
  caFile?: string;
  /** What leads to its CA; may hold a password. */
  proxy?: ProxyEnv;
  /** Of an account key that is still to be made; absent: EC. */
  keyType?: 'rsa';
  /** The CA also takes keys and signatures that public CAs do not. */
  anyKey?: true;
  /** What its CA is known to allow it. */
  limits: LimitsConfig;
};

/** The account of a section without a name. */
export const DEFAULT_ACCOUNT = 'default';

const letsEncryptStaging = 'https://acme-staging-v02.api.letsencrypt.org/directory';

/** Of `[account]`. */
export const accountRows: OptionRows = {
  'acme-server': { meaning: "the CA's directory URL, https", otherwise: "Let's Encrypt's staging server" },
  'accept-terms-of-service': {
    meaning: '`yes`, `no`, or the URL of the terms you accept',
    otherwise: '`no`',
  },
  dir: {
    meaning:
      'holds `account.pem` and `registration.json`; made where missing; each account has its own; may be only read where a key is in it',
    otherwise: 'needed',
  },
  contact: { meaning: 'e-mail address or `mailto:` URL', otherwise: 'none' },
  'eab-kid': {
    meaning: 'the name of an external account binding, as your CA gave it to you',
    otherwise: 'none',
  },
  'eab-hmac-key': { meaning: 'its key', otherwise: 'none' },
  'ca-file': {
    meaning:
      "PEM of the authorities that the CA's own HTTPS certificate is checked with, in place of the system's",
    otherwise: "that of `ACME_CAFILE`; else the system's",
  },
  proxy: {
    meaning:
      '`http://user:password@host:port` or `https://…`: the [proxy](services/docs/configuration.md#proxies) that leads to the CA; `no`: none',
    otherwise: 'that of the environment',
  },
  'key-type': {
    meaning:
      '`ec` or `rsa`: the kind of account key that Quarry makes where there is none; macen takes only `rsa`',
    otherwise: '`ec`',
  },
  keys: {
    meaning:
      '`any`: the CA also certifies [keys that public CAs do not](shared/pki/csrs.md#keys), such as P-521',
    otherwise: '`usual`',
  },
};

/**
 * `[account]` and `[account "name"]`, each with what `[limits]` and `[limits "name"]` say of it.
 *
 * @returns by name, in the order of the files
 */
export function parseAccounts(
  { accounts, limits }: { accounts: readonly SectionReader[]; limits: readonly SectionReader[] },
  env: Environment,
): Map<string, AccountConfig> {
  const limitsOf = new Map(limits.map(section => [nameOf(section), section]));
  const read = new Map<string, AccountConfig>();
  for (const section of accounts) {
    const account = parseAccount(section, limitsOf.get(nameOf(section)), env);
    refuseSharedDir(section, account, read.values());
    read.set(account.name, account);
  }
  for (const [name, section] of limitsOf) {
    if (read.size === 0 || read.has(name)) continue;
    const defined = [...read.keys()].map(one => `"${one}"`).join(', ');
    section.fail(`is of the account "${name}", which is not defined; defined: ${defined}`);
  }
  return read;
}

/** As its section is headed: `[account]`, or `[account "name"]`. */
export const headingOf = (account: string) => describeSection({ name: 'account', label: labelOf(account) });

/** Of its sections: the account that is not named has none. */
export const labelOf = (account: string) => (account === DEFAULT_ACCOUNT ? undefined : account);

/** Of the account that a section is, or is about. */
const nameOf = (section: SectionReader) => section.label || DEFAULT_ACCOUNT;

function refuseSharedDir(
  section: SectionReader,
  { dir }: AccountConfig,
  others: Iterable<AccountConfig>,
): void {
  for (const other of others) {
    if (resolve(other.dir) !== resolve(dir)) continue;
    section.fail(`is that of ${headingOf(other.name)} too; each needs its own`, 'dir');
  }
}

/** The environment stands in for an absent `ca-file` and `proxy`. */
function parseAccount(
  section: SectionReader,
  limits: SectionReader | undefined,
  env: Environment,
): AccountConfig {
  const name = nameOf(section);
  // It stands in lists, before a colon, in keys of Redis and in a header.
  if (!/^[\w-]{1,64}$/.test(name)) section.fail('has a name with more in it than letters, digits, - and _');
  const acmeServer = section.one('acme-server', parseAcmeServer) ?? letsEncryptStaging;
  const termsOfService = readTerms(section);
  const dir = section.one('dir', parseText);
  const contact = section.many('contact', parseContact);
  const kid = section.one('eab-kid', parseText);
  const hmacKey = section.secret('eab-hmac-key', parseEabKey);
  const caFile =
    section.one('ca-file', parseCertificateFile) ?? readVariable(env, 'ACME_CAFILE', parseCertificateFile);
  const proxy = section.secret('proxy', parseProxy, proxySecret) ?? readProxy(env);
  const keyType = section.one('key-type', parseKeyType);
  const anyKey = section.one('keys', parseKeys) ?? false;
  section.finish();
  if (dir === undefined)
    return section.fail('is missing; it is where account.pem and registration.json lie', 'dir');
  if (kid !== undefined && hmacKey === undefined) section.fail('needs eab-hmac-key beside it', 'eab-kid');
  if (kid === undefined && hmacKey !== undefined) section.fail('needs eab-kid beside it', 'eab-hmac-key');
  return {
    name,
    acmeServer,
    termsOfService,
    dir,
    contact,
    ...(kid !== undefined && hmacKey !== undefined && { eab: { kid, hmacKey } }),
    ...(caFile !== undefined && { caFile }),
    ...(proxy !== undefined && proxy !== 'none' && { proxy }),
    ...(keyType === 'rsa' && { keyType }),
    ...(anyKey && { anyKey }),
    limits: parseLimits(limits, acmeServer),
  };
}

/**
 * Account key and nonces would travel in the clear over http, which only a test server on this host may ask
 * for.
 */
export const parseAcmeServer: Parse<string> = (text, fail) => {
  const url = URL.parse(text);
  if (url?.protocol === 'https:') return text;
  if (url?.protocol !== 'http:') return fail('is not an https:// URL');
  return isLoopback(url.hostname) ? text : fail('must be https:// (http:// only for this host itself)');
};

const parseKeyType: Parse<'ec' | 'rsa'> = (text, fail) =>
  text === 'ec' || text === 'rsa' ? text : fail('is neither ec nor rsa');

/** macen's README shows `yes # or true`, so here a trailing comment is dropped; the reader warns of it. */
function readTerms(section: SectionReader): boolean | string[] {
  const key = 'accept-terms-of-service';
  const [first = false, ...more] = section.many(key, parseTerms, 'dropped');
  if (more.length === 0) return typeof first === 'boolean' ? first : [first];
  const urls = [first, ...more].filter(value => typeof value === 'string');
  if (urls.length <= more.length) section.fail('give either yes or no once, or the URLs of the terms', key);
  return urls;
}

const parseTerms: Parse<boolean | string> = (text, fail) => {
  const flag = toFlag(text);
  if (flag !== undefined) return flag;
  return /^(https?|data):\S+$/i.test(text) && URL.canParse(text)
    ? text
    : fail('is neither yes, no nor the URL of terms');
};

export const parseContact: Parse<string> = (text, fail) => {
  if (/^[^\s@:]+@[^\s@:]+$/.test(text)) return `mailto:${text}`;
  return /^[a-z][a-z0-9+.-]*:\S+$/i.test(text)
    ? text
    : fail('is neither an e-mail address nor a URL such as mailto:…');
};

/** Whether they are `any`. */
const parseKeys: Parse<boolean> = (text, fail) =>
  ['usual', 'any'].includes(text) ? text === 'any' : fail('is neither usual nor any');

export const parseEabKey: Parse<string> = (text, fail) =>
  /^[\w+/-]+=*$/.test(text) ? text : fail('is not base64url, as the CA hands it out');
