import { readFileSync } from 'node:fs';
import { type AcmeClient, type AcmeClientOptions, openAcmeClient } from './acme-client.ts';
import type { EabKey } from './acme-jws.ts';
import {
  type Fleet,
  type FleetOptions,
  type FleetRole,
  type RoleOptions,
  type RoleProcess,
  startFleet,
} from './fleet.ts';
import { startTcpFront } from './tcp-front.ts';
import { tlsAuthority } from './tls-authority.ts';

export type AcmeFleetOptions = Omit<FleetOptions, 'mgmt'> & {
  /** More lines of `[acme]`. */
  acme?: string;
  /** More lines of `[mgmt]`. */
  mgmt?: string;
};

export type AcmeFleet = AsyncDisposable & {
  fleet: Fleet;
  /** What `[acme] url` says: that of a front with all of the intakes behind it, by TLS. */
  base: string;
  directoryUrl: string;
  /** The CA of the intakes' own certificate, for clients. */
  caFile: string;
  ca: string;
  /** Starts one more intake behind the front; `options` are those of the fleet's `start`. */
  startIntake(options?: RoleOptions): Promise<RoleProcess>;
  /** A client of its own, with a new key. */
  open(options?: Partial<AcmeClientOptions>): Promise<AcmeClient>;
};

/** The EAB of the block `keyed`. */
export const keyedEab = {
  kid: 'keyed',
  key: 'key-of-the-block-keyed-0123456789abcdef',
} as const satisfies EabKey;

/** Another block with a key, and other names. */
export const otherEab = {
  kid: 'other',
  key: 'key-of-the-block-other-0123456789abcdef',
} as const satisfies EabKey;

/** The address that the block `near` is for. */
export const nearAddress = '127.0.0.2';

const ownBlocks = (challtestsrvUrl: string) => `[verification "dns"]
type = dns01-challtestsrv
set-txt_url = ${challtestsrvUrl}/set-txt
[auth "keyed"]
hmac_type = sha256
hmac_key = ${keyedEab.key}
domain = example.org
domain = *.example.org
verification = http, dns
[auth "other"]
hmac_type = sha256
hmac_key = ${otherEab.key}
domain = *.example.net
verification = http, dns
[auth "near"]
ip = ${nearAddress}
domain = *.near.example
address = 127.0.0.0/8
verification = http
[auth "tokens"]
token = yes
domain = *.tokens.example
verification = http
`;

/**
 * A fleet whose intakes are an ACME server: by TLS, behind a front that knows which are there. Its blocks are
 * `keyed` and `other` for those with a key, `near` for one address, and `tokens` for those with a token,
 * with proofs by http-01 and by dns-01, unless `blocks` says otherwise.
 */
export async function startAcmeFleet(options: AcmeFleetOptions = {}): Promise<AcmeFleet> {
  await using started = new AsyncDisposableStack();
  const { caFile, certFile, keyFile } = await tlsAuthority();
  const front = started.use(await startTcpFront());
  const base = `https://127.0.0.1:${front.port}/acme`;
  const { acme = '', mgmt = '', roles = ['intake', 'worker', 'responder'], ...rest } = options;
  const own: FleetOptions = {
    ...rest,
    mgmt: `tls-cert = ${certFile}\ntls-key = ${keyFile}\n${mgmt}`,
  };
  const fleet = started.use(await startFleet({ ...own, roles: [] }));
  const sections = `[acme]
url = ${base}
${acme}
${own.blocks ?? ownBlocks(fleet.pebble.challtestsrvUrl)}`;
  const { start, ini } = fleet;
  Object.assign(fleet, {
    start: (role: FleetRole, more: RoleOptions = {}) => start(role, { blocks: sections, ...more }),
    ini: (more: RoleOptions = {}) => ini({ blocks: sections, ...more }),
  });
  await Promise.all(roles.map(role => fleet.start(role)));

  function add(intake: RoleProcess): void {
    const { hostname: host, port } = new URL(intake.url);
    const server = { host, port: Number(port) };
    front.servers.push(server);
    intake.exited.then(() => void front.servers.splice(front.servers.indexOf(server), 1));
  }
  for (const role of ['intake', 'up'] satisfies FleetRole[]) for (const one of fleet.all(role)) add(one);

  const ca = readFileSync(caFile, 'utf8');
  const directoryUrl = `${base}/directory`;
  const running = started.move();
  return {
    fleet,
    base,
    directoryUrl,
    caFile,
    ca,
    async startIntake(options) {
      const intake = await fleet.start('intake', options);
      add(intake);
      return intake;
    },
    open: (more = {}) => openAcmeClient({ directoryUrl, ca, ...more }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
