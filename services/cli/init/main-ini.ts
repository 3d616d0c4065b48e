import { isLoopback } from '../../../shared/base/identifier.ts';
import type { Answers, Client, Proof } from './answers.ts';

// The text of main.ini: what the answers say in the words of its sections.

/** Where the roles run decides on the paths. */
export type Place = {
  /** `here`: from a folder of somebody's own. `system`: as a service. `compose`: in containers. */
  kind: 'here' | 'system' | 'compose';
  /** Absolute. */
  file: string;
  /** Where accounts, certificates and Redis's data are kept, as the roles see it. */
  data: string;
};

export type Option = { key: string; value: string };

export type Section = { name: string; label?: string; options: Option[] };

/** What the ports lead to inside of the containers of compose.yaml. */
const COMPOSED = '0.0.0.0:1313';
const COMPOSED_HTTP_PORT = 1380;
/** What containers and this machine see at different places. */
const COMPOSED_CA_FILE = `\${env:QUARRY_CA_FILE}`;
/** The networks that Docker takes, of which nginx comes to the intakes. */
const DOCKER_NETWORKS = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'];

/** @param makeKey of an auth block */
export function toSections(
  answers: Answers,
  place: Place,
  { hasIpv6, makeKey }: { hasIpv6: boolean; makeKey(): string },
): Section[] {
  return [
    toAccount(answers, place),
    toMgmt(answers, place, hasIpv6),
    toVerification(answers.proof, place, hasIpv6),
    section('storage', 'file', [
      ['type', 'file'],
      ['directory', `${place.data}/storage`],
      ['renew-ahead', 'yes'],
    ]),
    ...toAuthBlocks(answers, makeKey),
    ...(place.kind === 'compose' ? [] : [section('redis', undefined, [['dir', `${place.data}/redis`]])]),
  ];
}

type Pairs = (readonly [key: string, value: string])[];

const section = (name: string, label: string | undefined, pairs: Pairs): Section => ({
  name,
  ...(label !== undefined && { label }),
  options: pairs.map(([key, value]) => ({ key, value })),
});

function toAccount({ contact, ca }: Answers, { kind, data }: Place): Section {
  const { directory, caFile, terms, eab } = ca;
  const seen = caFile !== undefined && kind === 'compose' ? COMPOSED_CA_FILE : caFile;
  return section('account', undefined, [
    ['acme-server', directory],
    ...pair('ca-file', seen),
    ...pair('accept-terms-of-service', terms === true ? 'yes' : terms),
    ...pair('contact', contact?.replace(/^mailto:/, '')),
    ...pair('eab-kid', eab?.kid),
    ...pair('eab-hmac-key', eab?.hmacKey),
    ['dir', `${data}/account`],
  ]);
}

const pair = (key: string, value: string | undefined): Pairs => (value === undefined ? [] : [[key, value]]);

/** Whether only this machine is to be let in. */
export const isForThisMachine = (clients: readonly Client[]) =>
  clients.every(({ kind }) => kind === 'this-machine');

const has = (clients: readonly Client[], wanted: Client['kind']) =>
  clients.some(({ kind }) => kind === wanted);

/** Whether a listener takes connections of this machine alone. */
export const isLocal = (listener: string) => isLoopback(listener.replace(/:\d+$/, ''));

export const portOf = (listener: string): string => /\d+$/.exec(listener)?.[0] ?? '';

/** Of this machine by its loopback address, as its auth block wants them. */
const isForLoopback = (listener: string) => isLocal(listener) || /^(0\.0\.0\.0|\[::\]):/.test(listener);

/** Where clients come to. */
export function toListeners({ clients, listeners }: Answers, { kind }: Place, hasIpv6: boolean): string[] {
  if (kind === 'compose') return [COMPOSED];
  const [first] = listeners;
  if (first !== undefined) {
    const isReached = !has(clients, 'this-machine') || listeners.some(isForLoopback);
    return isReached ? listeners : [...listeners, `127.0.0.1:${portOf(first)}`];
  }
  return isForThisMachine(clients) ? ['127.0.0.1:1313'] : ['0.0.0.0:1313', ...(hasIpv6 ? ['[::]:1313'] : [])];
}

function toMgmt(answers: Answers, place: Place, hasIpv6: boolean): Section {
  const isComposed = place.kind === 'compose';
  return section('mgmt', undefined, [
    ...toListeners(answers, place, hasIpv6).map(listener => ['listener', listener] as const),
    ...(isComposed ? DOCKER_NETWORKS.map(network => ['trusted-proxy', network] as const) : []),
    ...(isComposed ? [['secret-file', `${place.data}/installation/installation.key`] as const] : []),
    ['default-verification', answers.proof.kind],
    ['default-storage', 'file'],
  ]);
}

function toVerification(proof: Proof, place: Place, hasIpv6: boolean): Section {
  return section('verification', proof.kind, toProofPairs(proof, place, hasIpv6));
}

function toProofPairs(proof: Proof, { kind }: Place, hasIpv6: boolean): Pairs {
  switch (proof.kind) {
    case 'http':
    case 'tls-alpn': {
      const hosts = ['0.0.0.0', ...(hasIpv6 && kind !== 'compose' ? ['[::]'] : [])];
      const type = proof.kind === 'http' ? 'http01' : 'tlsalpn01';
      const port = kind === 'compose' ? COMPOSED_HTTP_PORT : proof.port;
      return [['type', type], ...hosts.map(host => ['listener', `${host}:${port}`] as const)];
    }
    case 'dns': {
      const { server, key } = proof;
      return [
        ['type', 'rfc2136'],
        ['dns-server', server],
        ...pair('tsig-name', key?.name),
        ...pair('tsig-algorithm', key?.algorithm),
        ...pair('tsig-secret', key?.secret),
      ];
    }
    case 'program':
      return [
        ['type', 'program'],
        ['challenge', proof.challenge],
        ['command', proof.command],
        ...pair('cleanup-command', proof.cleanup),
      ];
  }
}

/** A block for each way of telling who asks: in one block, a client would have to pass all of them. */
function toAuthBlocks({ clients, names }: Answers, makeKey: () => string): Section[] {
  const domains = (globs: readonly string[]) => globs.map(glob => ['domain', glob] as const);
  const keyPairs = (): Pairs => [
    ['hmac_type', 'sha256'],
    ['hmac_key', makeKey()],
    ['hmac', 'v2'],
  ];
  const networks = clients.flatMap(client => (client.kind === 'network' ? [client.cidr] : []));
  const hosts = clients.flatMap(client => (client.kind === 'key' && client.host ? [client.host] : []));
  const isShared = clients.some(client => client.kind === 'key' && client.host === undefined);
  return [
    ...(has(clients, 'this-machine')
      ? [section('auth', 'this-machine', [['ip', '127.0.0.1'], ['ip', '::1'], ...domains(names)])]
      : []),
    ...(networks.length > 0
      ? [section('auth', 'network', [...networks.map(ip => ['ip', ip] as const), ...domains(names)])]
      : []),
    ...[...new Set(hosts)].map(host => section('auth', host, [...keyPairs(), ...domains([host])])),
    ...(isShared ? [section('auth', 'hosts', [...keyPairs(), ...domains(names)])] : []),
    ...(has(clients, 'token') ? [section('auth', 'tokens', [['token', 'yes'], ...domains(names)])] : []),
  ];
}

/** @param command that checks the file */
export function renderIni(sections: readonly Section[], command: string): string {
  const head = [
    '# Written by quarry init. It is yours to edit, and services/docs/configuration.md has all that can stand in it.',
    `# After an edit: ${command}`,
  ];
  return `${[head.join('\n'), ...sections.map(renderSection)].join('\n\n')}\n`;
}

function renderSection({ name, label, options }: Section): string {
  const heading = label === undefined ? `[${name}]` : `[${name} "${label}"]`;
  return [heading, ...options.map(({ key, value }) => `${key} = ${value}`)].join('\n');
}
