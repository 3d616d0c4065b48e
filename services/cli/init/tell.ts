import { describeSection } from '../../../shared/config/config-error.ts';
import { type Answers, caWords, type Proof } from './answers.ts';
import { isForThisMachine, isLocal, type Place, type Section } from './main-ini.ts';

// What main.ini says, in plain words, and why; for whoever answered the questions.

/**
 * @param told.kept sections that were there before, and that nobody was asked for
 * @param told.again what asks the questions again
 */
export function tellChoices(
  answers: Answers,
  place: Place,
  { listeners, kept, again }: { listeners: readonly string[]; kept: readonly Section[]; again: string },
): string {
  const rows: [string, string][] = [
    ['CA', tellCa(answers, again)],
    ['account', tellAccount(answers, place)],
    ['names', tellNames(answers)],
    ['proof', tellProof(answers.proof, place)],
    ['clients', tellClients(answers)],
    ['listens', tellListeners(answers, place, listeners)],
    [
      'storage',
      `${place.data}/storage; what hosts fetch is renewed before they ask again (renew-ahead = yes)`,
    ],
    [
      'Redis',
      place.kind === 'compose' ? 'the one of compose.yaml' : `one of Quarry's own, in ${place.data}/redis`,
    ],
    ...(kept.length > 0 ? [['kept', kept.map(describeSection).join(', ')] as [string, string]] : []),
  ];
  return rows.map(([what, text]) => `  ${what.padEnd(9)}${text}\n`).join('');
}

function tellCa({ ca: { directory } }: Answers, again: string): string {
  if (directory === caWords.staging)
    return `Let's Encrypt's staging: no browser trusts its certificates. When all works: ${again} --ca letsencrypt`;
  return directory === caWords.letsencrypt ? "Let's Encrypt" : directory;
}

function tellAccount({ contact, ca }: Answers, { data }: Place): string {
  const who = contact === undefined ? 'without an address' : `for ${contact.replace(/^mailto:/, '')}`;
  const terms = ca.terms === undefined ? '' : ', terms accepted';
  return `${who}${terms}; its key will be in ${data}/account: back that up`;
}

function tellNames({ names, proof }: Answers): string {
  const lacking = names.find(name => name.startsWith('*.') && !names.includes(name.slice(2)));
  const notes = [
    ...(lacking === undefined ? [] : [`${lacking} does not hold ${lacking.slice(2)} itself`]),
    ...(proof.kind === 'dns' ? [] : ['no wildcard certificates, which take proof by dns']),
  ];
  return [names.join(', '), ...notes].join('; ');
}

function tellProof(proof: Proof, { kind }: Place): string {
  switch (proof.kind) {
    case 'http':
      if (kind === 'compose') return `http, at port ${proof.port} of this machine`;
      return proof.port === 80
        ? 'http: Quarry has port 80'
        : `http: Quarry has port ${proof.port}, behind port 80`;
    case 'tls-alpn':
      return proof.port === 443
        ? 'tls-alpn: Quarry has port 443'
        : `tls-alpn: Quarry has port ${proof.port}, behind port 443`;
    case 'dns':
      return `dns: TXT records at ${proof.server}`;
    case 'program':
      return `${proof.challenge} by ${proof.command}`;
  }
}

function tellClients({ clients }: Answers): string {
  const words = clients.map(client => {
    if (client.kind === 'network') return client.cidr;
    if (client.kind === 'key')
      return client.host === undefined ? 'hosts with the key' : `${client.host} with a key of its own`;
    return client.kind === 'token' ? 'hosts with a token' : 'whoever is on this machine';
  });
  const keyed = clients.some(({ kind }) => kind === 'key');
  return words.join(', ') + (keyed ? '; by HMAC version 2, which nobody can send again (hmac = v2)' : '');
}

function tellListeners({ clients }: Answers, { kind }: Place, listeners: readonly string[]): string {
  if (kind === 'compose') return 'at the port that .env names (QUARRY_PORT)';
  const where = listeners.join(', ');
  if (isForThisMachine(clients)) return `${where}: nobody else is let in`;
  if (listeners.every(isLocal)) return `${where}: of loopback alone, so no other host gets there by itself`;
  if (listeners.some(isEverywhere)) return `${where}: at all addresses, so let a firewall keep others out`;
  return `${where}: let a firewall keep others out`;
}

const isEverywhere = (listener: string) => /^(0\.0\.0\.0|\[::\]):/.test(listener);

/** What is there already, in a line. */
export function tellExisting(file: string, defaults: Readonly<Record<string, string | undefined>>): string {
  const told = Object.entries({ CA: 'ca', names: 'name', proof: 'prove', clients: 'clients' })
    .map(([what, option]) => `${what} ${defaults[option] ?? 'of its own'}`)
    .join(', ');
  return `${file} is there already: ${told}.\n`;
}
