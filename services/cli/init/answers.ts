import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { isDomainName, toName } from '../../../shared/base/identifier.ts';
import { parseAcmeServer, parseContact } from '../../../shared/ca/account-section.ts';
import { parseCidr } from '../../../shared/config/cidr.ts';
import type { Parse } from '../../../shared/config/parse.ts';
import type { KeyText } from '../../../shared/solver/tsig-key.ts';

// What `quarry init` is told: text of a terminal or of an option, and what it means.

/** All that main.ini is made of. */
export type Answers = {
  /** A URL such as `mailto:admin@example.org`; none where the CA is to have no address. */
  contact?: string;
  ca: CaAnswer;
  /** Globs, as `domain` in an auth block has them. */
  names: string[];
  proof: Proof;
  clients: Client[];
  /** As `listener` in [mgmt] has them; by default those that fit who may ask. */
  listeners: string[];
};

export type CaAnswer = {
  /** The URL of its directory. */
  directory: string;
  /** PEM certificates of the authorities that its own TLS is verified with. */
  caFile?: string;
  /** The URL of the terms that a person has accepted, or true for those that could not be seen. */
  terms?: string | true;
  /** Why it could not be asked. */
  fault?: string;
  /** External account binding (RFC 8555 section 7.3.4), where the CA asks for it. */
  eab?: { kid: string; hmacKey: string };
};

export type Proof =
  | { kind: 'http' | 'tls-alpn'; port: number }
  /** Without a key that of before stays. */
  | { kind: 'dns'; server: string; key?: KeyText }
  | { kind: 'program'; challenge: string; command: string; cleanup?: string };

export type Client =
  | { kind: 'this-machine' | 'token' }
  | { kind: 'network'; cidr: string }
  /** All hosts share a key, or one host has a key for its own name. */
  | { kind: 'key'; host?: string };

/** The CAs that have a word of their own. */
export const caWords: Readonly<Record<string, string>> = {
  staging: 'https://acme-staging-v02.api.letsencrypt.org/directory',
  letsencrypt: 'https://acme-v02.api.letsencrypt.org/directory',
};

export const isLetsEncrypt = (directory: string) => Object.values(caWords).includes(directory);

export const toWords = (text: string) => text.split(/[\s,]+/).filter(word => word !== '');

export const parseEmail: Parse<string | undefined> = (text, fail) => {
  if (text.toLowerCase() === 'none') return undefined;
  if (/^[^\s@:]+@[^\s@:.]+(\.[^\s@:.]+)+$/.test(text)) return parseContact(text, fail);
  return fail('is no e-mail address such as hostmaster@example.org; none stands for none');
};

/** Documentation's own domains, where no mail arrives. */
export const isExample = (contact: string) => /@(.*\.)?example(\.(org|com|net))?$/i.test(contact);

export const parseCa: Parse<string> = (text, fail) => {
  const known = caWords[text.toLowerCase()];
  if (known !== undefined) return known;
  if (!text.includes('://'))
    return fail('is neither staging, letsencrypt nor the https:// URL of a directory of another CA');
  return parseAcmeServer(text, fail);
};

export const parseNames: Parse<string[]> = (text, fail) => {
  const names = toWords(text).map(word => parseGlob(word, reason => fail(`${word} ${reason}`)));
  return names.length > 0
    ? [...new Set(names)]
    : fail('holds no name; write such as example.org *.example.org');
};

const parseGlob: Parse<string> = (text, fail) => {
  if (text.includes('://')) return fail('is a URL: write the name in it alone');
  if (isIP(text))
    return fail('is an address: names are asked for here (an `address` line in the file admits it)');
  if (/^[*?.]+$/.test(text)) return fail('would admit every name: write your own, such as *.example.org');
  const name = toAscii(toName(text));
  if (!isDomainName(name.replace(/[*?]/g, 'x')))
    return fail('is no name such as www.example.org or *.example.org');
  return name.includes('.')
    ? name
    : fail('is not a whole name: write it with its domain, as www.example.org');
};

/** A name in its own letters stands in certificates in those of ASCII. */
const toAscii = (name: string) => (/[^\0-\x7f]/.test(name) ? domainToASCII(name) : name);

export const parseClients: Parse<Client[]> = (text, fail) => {
  const clients = toWords(text).map(word => parseClient(word, reason => fail(`${word} ${reason}`)));
  if (clients.length === 0) return fail('names nobody; this-machine is the least');
  return clients;
};

const parseClient: Parse<Client> = (text, fail) => {
  const word = text.toLowerCase();
  if (word === 'this-machine' || word === 'token') return { kind: word };
  if (word === 'key') return { kind: 'key' };
  if (word.startsWith('key:')) return { kind: 'key', host: parseHost(text.slice('key:'.length), fail) };
  if (!isIP(word.replace(/\/\d+$/, '')))
    return fail(
      'is neither this-machine, key, key:HOST, token nor an address or network such as 192.0.2.0/24',
    );
  return { kind: 'network', cidr: parseCidr(text, fail) };
};

const parseHost: Parse<string> = (text, fail) => {
  const name = parseGlob(text, fail);
  return /[*?]/.test(name) ? fail('has no whole name of a host behind key:') : name;
};

const proofKinds = ['http', 'dns', 'tls-alpn', 'program'] as const;
export type ProofKind = (typeof proofKinds)[number];

export const parseProofKind: Parse<ProofKind> = (text, fail) =>
  proofKinds.find(kind => kind === text.toLowerCase()) ?? fail(`is none of ${proofKinds.join(', ')}`);
