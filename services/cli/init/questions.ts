import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { explainFileError } from '../../../shared/base/file-error.ts';
import { whyNotRunnable } from '../../../shared/base/run-program.ts';
import { parseEabKey } from '../../../shared/ca/account-section.ts';
import { parseListener } from '../../../shared/config/listener.ts';
import { parseCertificateFile, wholeNumber } from '../../../shared/config/option-values.ts';
import type { Parse } from '../../../shared/config/parse.ts';
import { parseDnsServer } from '../../../shared/solver/dns-server.ts';
import { type KeyText, parseKeyText } from '../../../shared/solver/tsig-key.ts';
import {
  type Client,
  caWords,
  isExample,
  isLetsEncrypt,
  type ProofKind,
  parseCa,
  parseClients,
  parseEmail,
  parseNames,
  parseProofKind,
  toWords,
} from './answers.ts';
import type { Question } from './ask.ts';
import { type Facts, findClosed } from './facts.ts';

// The five questions, each with a line or a few of help, and what some answers make it ask besides.

/** Answers that go without saying, by the options; from a file that is there already. */
export type Defaults = Readonly<Record<string, string | undefined>>;

export const emailQuestion = (fallback: string): Question<string | undefined> => ({
  ...{ option: 'email', value: 'ADDRESS', title: '1/5  Your e-mail address' },
  help: ['The CA may write there when something is wrong. none: the CA is given no address.'],
  fallback,
  parse: parseEmail,
});

export function toQuestions(facts: Facts, defaults: Defaults) {
  const { domain } = facts;
  const email = emailQuestion(defaults.email ?? (domain === undefined ? 'none' : `hostmaster@${domain}`));
  const ca: Question<string> = {
    ...{ option: 'ca', value: 'staging|letsencrypt|URL', title: '2/5  Which CA' },
    help: [
      "staging: Let's Encrypt's CA for trying things out, whose certificates no browser trusts. letsencrypt: the",
      'real one. Or the URL of the directory of another CA. Staging first: limits of the real one are soon met.',
    ],
    fallback: defaults.ca ?? 'staging',
    parse: parseCa,
  };
  const names: Question<string[]> = {
    ...{ option: 'name', value: 'GLOB', title: '3/5  Which names may have certificates' },
    help: [
      'Several with spaces between. A * stands for any part: *.example.org holds all but example.org itself.',
    ],
    fallback: defaults.name ?? (domain === undefined ? undefined : `${domain} *.${domain}`),
    parse: parseNames,
  };
  const prove: Question<ProofKind> = {
    ...{
      option: 'prove',
      value: 'http|dns|tls-alpn|program',
      title: '4/5  How to prove to the CA that they are yours',
    },
    help: [
      'http      the CA looks for a file at port 80 of each name, which has to lead here',
      'dns       Quarry writes a record into your zone by dynamic updates (RFC 2136); for wildcards, too',
      'tls-alpn  the CA connects to port 443 of each name, which has to lead here',
      'program   a program of yours shows the CA what it asks for',
    ],
    fallback: defaults.prove ?? 'http',
    parse: facts.isComposed ? onlyComposed : parseProofKind,
  };
  return { email, ca, names, prove, clients: toClientsQuestion(facts, defaults) };
}

/** The containers of compose.yaml answer over HTTP, or not at all. */
const onlyComposed: Parse<ProofKind> = (text, fail) => {
  const kind = parseProofKind(text, fail);
  if (kind === 'http' || kind === 'dns') return kind;
  return fail(
    `${kind} needs more than compose.yaml has: a port that is published, or a program in the image`,
  );
};

function toClientsQuestion({ isComposed }: Facts, defaults: Defaults): Question<Client[]> {
  return {
    ...{ option: 'clients', value: 'this-machine|CIDR|key|token', title: '5/5  Who may ask for them' },
    help: [
      ...(isComposed ? [] : ['this-machine    whoever is on this machine, and nobody else']),
      '192.0.2.0/24    the hosts of a network, or of an address',
      'key             hosts that have a secret key, made now; key:web1.example.org: one for that host alone',
      'token           hosts with a token each, which quarry token add makes later',
      'Several with spaces between.',
    ],
    fallback: defaults.clients ?? (isComposed ? 'key' : 'this-machine'),
    parse(text, fail) {
      const clients = parseClients(text, fail);
      if (!isComposed || clients.every(({ kind }) => kind !== 'this-machine')) return clients;
      return fail('containers cannot tell that somebody is on this machine: take key or token');
    },
  };
}

/** @param how which port goes without saying, and why it is that one */
export const toPortQuestion = (
  kind: 'http' | 'tls-alpn',
  { fallback, why }: { fallback: string; why: string },
): Question<number> => ({
  ...{ option: 'port', value: 'NUMBER', title: '     The port at which Quarry answers the CA' },
  help: [why, `The CA itself comes to port ${kind === 'http' ? 80 : 443}.`],
  fallback,
  parse: wholeNumber(1, 65_535),
});

export const dnsServerQuestion = (fallback: string | undefined): Question<string> => ({
  ...{ option: 'dns-server', value: 'HOST', title: '     The name server that takes the updates' },
  help: ['The primary of your zone: an address or a name, with :PORT where that is not 53.'],
  fallback,
  parse(text, fail) {
    parseDnsServer(text, fail);
    return text;
  },
});

/** @param folder where relative paths start */
export const tsigQuestion = (
  folder: string,
  fallback: string | undefined,
): Question<KeyText | undefined> => ({
  ...{ option: 'tsig-key-file', value: 'FILE', title: '     The file with the key of the updates' },
  help: ["As BIND's tsig-keygen writes it; the name server has the same. main.ini takes the key over."],
  fallback,
  parse: (text, fail) =>
    text === UNCHANGED ? undefined : parseKeyText(readNow(resolve(folder, text), fail), fail),
});

/** What stands for a secret that the file has already. */
export const UNCHANGED = 'unchanged';

function readNow(path: string, fail: (reason: string) => never): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return fail(`${path} cannot be read: ${explainFileError(error)}`);
  }
}

export const programQuestion = (
  { folder, isService }: { folder: string; isService: boolean },
  option: 'program' | 'cleanup-program',
  fallback: string | undefined,
): Question<string> => ({
  ...{ option, value: 'PATH', title: '     The program that answers challenges' },
  help: ['Its path alone, without arguments. It gets the challenge as services/docs/proofs.md says.'],
  fallback,
  parse(text, fail) {
    const path = resolve(folder, text);
    const fault = whyNotRunnable(path);
    if (fault !== undefined) return fail(`${path} cannot be run: ${fault}`);
    const closed = isService ? findClosed(path) : undefined;
    return closed === undefined ? path : fail(`lies in ${closed}, where the service's user cannot run it`);
  },
});

const challenges = ['http-01', 'dns-01', 'tls-alpn-01'];

export const challengeQuestion = (fallback: string): Question<string> => ({
  ...{ option: 'program-challenge', value: challenges.join('|'), title: '     Which challenge it answers' },
  help: ['http-01: a file for a web server. dns-01: a TXT record. tls-alpn-01: a certificate.'],
  fallback,
  parse: (text, fail) => (challenges.includes(text) ? text : fail(`is none of ${challenges.join(', ')}`)),
});

export const caFileQuestion = (folder: string, fallback: string | undefined): Question<string> => ({
  ...{
    option: 'ca-file',
    value: 'FILE',
    title: "     The file with the root certificate of the CA's own TLS",
  },
  help: ['PEM. A CA of your own has one; its manual says where.'],
  fallback,
  parse: (text, fail) => parseCertificateFile(resolve(folder, text), fail),
});

export const eabKidQuestion: Question<string> = {
  ...{ option: 'eab-kid', value: 'ID', title: '     The key id of your account with this CA (EAB)' },
  help: ['This CA wants its customers only, and hands out a key id and a key on its site.'],
  parse: (text, fail) => (/^[\x21-\x7e]+$/.test(text) ? text : fail('is not one word')),
};

/** @param isFile whether a file with it is named; else it is typed, and not shown */
export const eabKeyQuestion = (folder: string, isFile: boolean): Question<string> => ({
  ...{
    option: 'eab-hmac-key-file',
    value: 'FILE',
    title: '     The HMAC key that belongs to it (not shown)',
  },
  help: [],
  ...(!isFile && { isSecret: true }),
  parse: (text, fail) => parseEabKey(isFile ? readNow(resolve(folder, text), fail).trim() : text, fail),
});

export const parseListeners: Parse<string[]> = (text, fail) => {
  const listeners = toWords(text);
  for (const listener of listeners) parseListener(listener, fail);
  return listeners;
};

/** What Let's Encrypt is known to refuse. */
export const findContactFault = (contact: string | undefined, directory: string): string | undefined =>
  contact !== undefined && isExample(contact) && isLetsEncrypt(directory)
    ? `Let's Encrypt takes no address of a domain that stands in examples only, such as ${contact.slice('mailto:'.length)}`
    : undefined;

/** How a CA is called in an answer. */
export const toCaWord = (directory: string): string =>
  Object.entries(caWords).find(([, url]) => url === directory)?.[0] ?? directory;
