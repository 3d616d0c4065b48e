import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { startChalltestsrv } from './challtestsrv.ts';
import { freePort, freePorts } from './free-port.ts';
import { type Process, startProcess } from './processes.ts';
import { provision } from './provision.ts';
import { tempDir } from './temp-dir.ts';
import { tlsAuthority } from './tls-authority.ts';
import { lastStopMs } from './wait-until.ts';

export type PebbleOptions = {
  /** Where Pebble looks for HTTP-01 answers: the responder's port. */
  httpPort: number;
  /** Where it listens: 127.0.0.1, or another one that `tlsAuthority` certifies. */
  address?: string;
  /** Where it looks for TLS-ALPN-01 answers; by default a port where nobody listens. */
  tlsPort?: number;
  /**
   * Certificate profiles, by default `default` (90 days) and `shortlived` (6 days); lives in seconds. Pebble
   * takes a random one for an order that names none: give a single one where the life matters.
   */
  profiles?: Record<string, { description: string; validityPeriod: number }>;
  /** `address:port` of the DNS server that it asks; by default challtestsrv. */
  dnsServer?: string;
  /** More environment, such as PEBBLE_WFE_NONCEREJECT. */
  env?: Record<string, string>;
  /** Merged into the `pebble` object of its configuration. */
  config?: Record<string, unknown>;
  strict?: boolean;
  /** The program, in place of the one that tests use elsewhere. */
  command?: string;
  /** More arguments. */
  args?: string[];
};

export type Pebble = AsyncDisposable & {
  directoryUrl: string;
  managementUrl: string;
  /** Where the DNS records that Pebble sees are set. */
  challtestsrvUrl: string;
  /** The DNS server that it asks, `address:port`. */
  dnsServer: string;
  /** The CA that both of Pebble's own HTTPS servers are certified by. */
  caFile: string;
  readonly pid: number;
  /** All of its roots: what the certificates that it issues are verified against. New after a restart. */
  rootPem(): Promise<string>;
  /** What it says of a certificate that it has issued, the first of a chain. `reason` is RFC 5280's code. */
  certificateStatus(chain: string): Promise<{ status: 'Valid' | 'Revoked'; reason: number | undefined }>;
  /** The requests since its last start, such as `POST /order-plz`. */
  requestLog(): string[];
  /** What it has printed since its last start. */
  output(): string;
  stop(): Promise<void>;
  /** SIGKILL, and waits. */
  kill(): Promise<void>;
  /**
   * Starts it again, stopping it where it still runs: same ports, but Pebble forgets all accounts and orders.
   */
  restart(): Promise<void>;
};

const day = 86_400;

const defaultProfiles = {
  default: { description: 'The profile you know and love', validityPeriod: 90 * day },
  shortlived: {
    description: 'A short-lived cert profile, without actual enforcement',
    validityPeriod: 6 * day,
  },
};

/** No random sleeps, bad nonces or reused authorizations unless a test asks for them. */
const defaultEnv = { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0', PEBBLE_AUTHZREUSE: '0' };

/**
 * A real ACME server on loopback, with a DNS server of its own (challtestsrv) that resolves all names to
 * 127.0.0.1.
 */
export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const command = options.command ?? (await provision(['pebble'])).pebble;
  const { caFile, certFile, keyFile } = await tlsAuthority();
  const [port, managementPort] = (await freePorts(2)) as [number, number];
  const { address = '127.0.0.1' } = options;
  const base = `https://${address}:${port}`;
  const managementUrl = `https://${address}:${managementPort}`;
  const ca = await readFile(caFile, 'utf8');

  await using started = new AsyncDisposableStack();
  const challtestsrv = started.use(await startChalltestsrv());
  const { path } = started.use(await tempDir());
  const configFile = join(path, 'pebble.json');
  const config = {
    listenAddress: `${address}:${port}`,
    managementListenAddress: `${address}:${managementPort}`,
    certificate: certFile,
    privateKey: keyFile,
    httpPort: options.httpPort,
    tlsPort: options.tlsPort ?? (await freePort()),
    ocspResponderURL: '',
    externalAccountBindingRequired: false,
    domainBlocklist: ['blocked-domain.example'],
    retryAfter: { authz: 0, order: 0 },
    keyAlgorithm: 'ecdsa',
    profiles: options.profiles ?? defaultProfiles,
    ...options.config,
  };
  await writeFile(configFile, JSON.stringify({ pebble: config }));

  const dnsServer = options.dnsServer ?? challtestsrv.dnsServer;
  const flags = ['-config', configFile, '-dnsserver', dnsServer, ...(options.strict ? ['-strict'] : [])];
  const start = () =>
    startProcess(command, [...flags, ...(options.args ?? [])], {
      name: 'pebble',
      env: { ...defaultEnv, ...options.env },
      ready: async () => (await fetchBody(`${base}/dir`, ca)) !== undefined,
    });

  let pebble: Process = await start();
  started.defer(async () => void (await pebble.stop()));
  const running = started.move();
  return {
    directoryUrl: `${base}/dir`,
    managementUrl,
    challtestsrvUrl: challtestsrv.managementUrl,
    dnsServer: challtestsrv.dnsServer,
    caFile,
    get pid() {
      return pebble.pid;
    },
    rootPem: () => fetchRoots(managementUrl, ca),
    async certificateStatus(chain) {
      const { serialNumber } = new X509Certificate(chain);
      const body = await fetchBody(`${managementUrl}/cert-status-by-serial/${serialNumber}`, ca);
      const { Status: status, Reason: reason } = JSON.parse(body ?? 'null');
      return { status, reason };
    },
    requestLog: () =>
      [...pebble.output().matchAll(/(\w+ \/\S*) -> calling handler/g)].map(match => match[1] ?? ''),
    output: () => pebble.output(),
    stop: async () => void (await pebble.stop()),
    kill: () => pebble.kill(),
    async restart() {
      await pebble.stop();
      pebble = await start();
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** One root, and as many alternate ones as PEBBLE_ALTERNATE_ROOTS says. */
async function fetchRoots(managementUrl: string, ca: string): Promise<string> {
  let roots = '';
  for (let index = 0; ; index++) {
    const root = await fetchBody(`${managementUrl}/roots/${index}`, ca);
    if (root === undefined) return roots;
    roots += root;
  }
}

/** The body of a 200, else undefined. */
async function fetchBody(url: string, ca: string): Promise<string | undefined> {
  const options = {
    ca,
    agent: false as const,
    timeout: lastStopMs,
    headers: { 'User-Agent': 'quarry-test' },
  };
  return new Promise((done, fail) => {
    const request = get(url, options, answer => {
      text(answer).then(body => done(answer.statusCode === 200 ? body : undefined), fail);
    });
    request.on('timeout', () => request.destroy(new Error(`${url} does not answer`)));
    request.on('error', fail);
  });
}
