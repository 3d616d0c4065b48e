import { inCode, type OptionRows } from '../config/option-rows.ts';
import { parseText, wholeNumber } from '../config/option-values.ts';
import { formatRate, parseRate, type Rate } from '../config/rate.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import type { DnsServer } from '../dns/exchange.ts';
import { parseDnsAddress } from '../solver/dns-server.ts';

/** The ACME server for hosts that have a client of their own. */
export type AcmeConfig = {
  /** Of all of its URLs the beginning, without a slash at its end; where it is absent there is no server. */
  url?: string;
  /** Where people read the terms. */
  termsOfService?: string;
  website?: string;
  /** The names by which CAA records allow the CAs behind it. */
  caaIdentities: string[];
  /** What each certificate profile is, by its name. */
  profiles: Record<string, string>;
  /** Accounts that a client host may make; absent where that is not bounded. */
  newAccounts?: Rate;
  proof: ProofConfig;
};

/** How workers look for what clients have to prove of their names. */
export type ProofConfig = {
  /** DNS servers that names are looked up with; the system's where empty. */
  resolvers: DnsServer[];
  /** Where names are served over HTTP and TLS. */
  httpPort: number;
  tlsPort: number;
  /** How often a response is looked for, after 1, 2, 4, … seconds again. */
  tries: number;
};

/** Half a minute: the DNS and web servers lag. */
const USUAL_TRIES = 6;

/** Enough for many containers behind one address that make an account at each start. */
const NEW_ACCOUNTS: Rate = { count: 100, period: 3_600_000 };

const HTTP_PORT = 80;
const TLS_PORT = 443;

/** Of `[acme]`. */
export const acmeRows: OptionRows = {
  url: {
    meaning: 'where clients find the [ACME server](shared/acme-server/acme-server.md), without `/directory`',
    otherwise: 'no server',
  },
  'terms-of-service': { meaning: 'the URL of the terms, which clients show', otherwise: 'none' },
  website: { meaning: 'the URL of a page about the server', otherwise: 'none' },
  'caa-identity': {
    meaning: 'a name by which CAA records allow the CAs behind it, which clients show',
    otherwise: 'none',
  },
  profile: {
    meaning: 'a certificate profile that clients may ask for, and what it is: `tlsserver: for web servers`',
    otherwise: 'none',
  },
  'proof-resolver': {
    meaning:
      'DNS server that workers look names up with where clients [prove them](shared/admission/client-proof.md), `address` or `address:port`',
    otherwise: "the system's",
  },
  'proof-tries': {
    meaning:
      'how often workers look for a proof, after 1, 2, 4, … seconds again, before its order is invalid',
    otherwise: `${inCode(USUAL_TRIES)}: half a minute`,
  },
  'proof-http-port': { meaning: 'where names are served over HTTP, in a lab', otherwise: inCode(HTTP_PORT) },
  'proof-tls-port': { meaning: 'where they are served over TLS', otherwise: inCode(TLS_PORT) },
  'new-accounts': {
    meaning:
      'how many accounts a client host may make, and bindings that are refused: `100/h`, or `off`. Of the key of a binding there may be ten times as many',
    otherwise: inCode(formatRate(NEW_ACCOUNTS)),
  },
};

/** `[acme]`; off where it is absent. */
export function parseAcme(section: SectionReader): AcmeConfig {
  const url = section.one('url', parseServerUrl);
  const termsOfService = section.one('terms-of-service', parsePage);
  const website = section.one('website', parsePage);
  const caaIdentities = section.many('caa-identity', parseText);
  const profiles = section.many('profile', parseProfile);
  const proof = parseProof(section);
  const newAccounts = section.one('new-accounts', parseRate) ?? NEW_ACCOUNTS;
  section.finish();
  const { firstKey } = section;
  if (url === undefined && firstKey !== undefined) section.fail('needs url beside it', firstKey);
  const twice = profiles.find(([name], at) => profiles.findIndex(([other]) => other === name) !== at);
  if (twice) section.fail(`describes ${twice[0]} twice`, 'profile');
  return {
    ...(url !== undefined && { url }),
    ...(termsOfService !== undefined && { termsOfService }),
    ...(website !== undefined && { website }),
    caaIdentities,
    profiles: Object.fromEntries(profiles),
    proof,
    ...(Number.isFinite(newAccounts.count) && { newAccounts }),
  };
}

const parsePort = wholeNumber(1, 65_535);

const parseProof = (section: SectionReader): ProofConfig => ({
  resolvers: section.many('proof-resolver', parseDnsAddress),
  httpPort: section.one('proof-http-port', parsePort) ?? HTTP_PORT,
  tlsPort: section.one('proof-tls-port', parsePort) ?? TLS_PORT,
  tries: section.one('proof-tries', wholeNumber(1, 10)) ?? USUAL_TRIES,
});

/** Those of `POST /sign` and `POST /revoke`. */
const taken = /^\/(sign|revoke)(\/|$)/;

/**
 * As clients are told it. RFC 8555 section 6.1 requires HTTPS; a client on this machine may be trying things
 * out.
 */
const parseServerUrl: Parse<string> = (text, fail) => {
  const url = URL.parse(text) ?? fail('is not a URL such as https://quarry.example.org/acme');
  const isLoopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback))
    return fail('is not an https URL, which ACME clients need');
  if (url.username !== '' || url.password !== '') return fail('has a user, which clients would not send');
  if (/[?#]/.test(text)) return fail('has a query or a fragment');
  const path = url.pathname.replace(/\/+$/, '');
  if (!/^(\/[A-Za-z0-9._~-]+)*$/.test(path))
    return fail('has a path with other characters than letters, digits and - . _ ~');
  if (taken.test(path)) return fail(`has a path of ${path.split('/')[1]}, which clients post CSRs to`);
  if (path.endsWith('/directory')) return fail('ends with /directory, which clients are told behind it');
  return url.origin + path;
};

const parsePage: Parse<string> = (text, fail) => {
  const url = URL.parse(text);
  return url?.protocol === 'https:' || url?.protocol === 'http:'
    ? text
    : fail('is not a URL such as https://…');
};

/** `tlsserver: for web servers` */
const parseProfile: Parse<[name: string, description: string]> = (text, fail) => {
  const [, name, description] = /^([A-Za-z0-9_.-]+)\s*:\s*(.+)$/.exec(text) ?? [];
  if (name === undefined || description === undefined)
    return fail('is not a name and what it is, such as tlsserver: for web servers');
  return [name, description];
};
