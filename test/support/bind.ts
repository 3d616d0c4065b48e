import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';
import { type Process, startProcess } from './processes.ts';
import { provision } from './provision.ts';
import { tempDir } from './temp-dir.ts';
import { waitUntil } from './wait-until.ts';

export type BindKey = { name: string; algorithm: string; secret: string };

export type BindZone = {
  name: string;
  /** Lines of the zone file, beside its SOA, its name server `ns1` and that one's address. */
  records?: string[];
  /** Lines of `update-policy`, such as `grant acme name _acme-challenge.example.org. TXT`. */
  policy?: string[];
  /** Of `allow-update`, where there is no policy. */
  allowUpdate?: string;
  /** The port of the primary on 127.0.0.1, of which this is a copy, made when the server starts. */
  copyOf?: number;
  /** Ports on 127.0.0.1 where those are asked to whom another of its zones delegates this one. */
  forwardTo?: number[];
  /** More statements of the zone. */
  more?: string;
};

export type BindOptions = {
  zones: BindZone[];
  keys?: BindKey[];
  port?: number;
  address?: string;
  /**
   * Follows CNAMEs from one of its zones into another, as resolvers do, and knows that there is nothing else.
   */
  resolves?: boolean;
};

export type Bind = AsyncDisposable & {
  host: string;
  port: number;
  /** `host:port`. */
  address: string;
  /** What `dig +short` shows: one line a record. */
  dig(name: string, type: string, ...options: string[]): Promise<string[]>;
  /** Resolves once it answers for the zone: a copy comes a little later than its server. */
  untilItHolds(zone: string): Promise<void>;
  readonly pid: number;
  output(): string;
  stop(): Promise<void>;
  /** Starts it again, stopping it where it still runs. Updates are kept; a copy is made anew. */
  restart(): Promise<void>;
};

export function newBindKey(name: string, algorithm = 'hmac-sha256'): BindKey {
  return { name, algorithm, secret: randomBytes(32).toString('base64') };
}

/** A real name server on loopback, authoritative for these zones and nothing else. */
export async function startBind(options: BindOptions): Promise<Bind> {
  const { port, address: host = '127.0.0.1', resolves } = options;
  const zones = [...options.zones, ...(resolves ? [{ name: '.' }] : [])];
  const { named, dig } = await provision(['named', 'dig']);
  const ownPort = port ?? (await freePort());
  await using started = new AsyncDisposableStack();
  const { path } = started.use(await tempDir());
  for (const zone of zones)
    if (!zone.copyOf && !zone.forwardTo) await writeFile(join(path, fileOf(zone)), zoneFile(zone));
  const configFile = join(path, 'named.conf');
  await writeFile(configFile, configuration(path, { ...options, host, port: ownPort, zones }));
  // In the foreground, logging to the standard error, and with one thread.
  const start = () =>
    startProcess(named, ['-g', '-n', '1', '-c', configFile], {
      name: 'named',
      ready: /\brunning$/m,
    });
  let bind: Process = await start();
  started.defer(async () => void (await bind.stop()));
  const running = started.move();
  const ask: Bind['dig'] = async (name, type, ...options) => {
    const at = [`@${host}`, '-p', `${ownPort}`];
    const { stdout } = await promisify(execFile)(dig, [...at, '+short', name, type, ...options]);
    return stdout.split('\n').filter(line => line !== '');
  };
  return {
    host,
    port: ownPort,
    address: `${host}:${ownPort}`,
    dig: ask,
    untilItHolds: zone => waitUntil(`${zone} at ${host}`, async () => (await ask(zone, 'SOA')).length > 0),
    get pid() {
      return bind.pid;
    },
    output: () => bind.output(),
    stop: async () => void (await bind.stop()),
    async restart() {
      await bind.stop();
      bind = await start();
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

const fileOf = ({ name }: BindZone) => `${name === '.' ? 'root' : name}.zone`;

function zoneFile({ name, records = [] }: BindZone): string {
  return [
    `$ORIGIN ${name === '.' ? '' : name}.`,
    '$TTL 5',
    '@ SOA ns1 hostmaster 1 3600 3600 86400 5',
    ...(records.some(record => /^@? *(?:\d+ )?NS /.test(record)) ? [] : ['@ NS ns1', 'ns1 A 127.0.0.1']),
    ...records,
    '',
  ].join('\n');
}

/** Nothing in it leads beyond loopback, or to files outside the folder. */
function configuration(dir: string, options: BindOptions & { host: string; port: number }): string {
  const { host, port, zones, keys = [], resolves } = options;
  return `options {
  directory "${dir}";
  pid-file none;
  session-keyfile "${dir}/session.key";
  managed-keys-directory "${dir}";
  listen-on port ${port} { ${host}; };
  listen-on-v6 { none; };
  recursion ${resolves ? 'yes' : 'no'};
  notify no;
  dnssec-validation no;
};
controls { };
${keys.map(({ name, algorithm, secret }) => `key "${name}" { algorithm ${algorithm}; secret "${secret}"; };`).join('\n')}
${zones.map(toStatement).join('\n')}
`;
}

function toStatement(zone: BindZone): string {
  const { name, policy, allowUpdate, copyOf, forwardTo, more = '' } = zone;
  if (forwardTo) {
    const forwarders = forwardTo.map(port => `127.0.0.1 port ${port};`).join(' ');
    return `zone "${name}" { type forward; forward only; forwarders { ${forwarders} }; };`;
  }
  if (copyOf) return `zone "${name}" { type secondary; primaries port ${copyOf} { 127.0.0.1; }; ${more} };`;
  const update = policy ? `update-policy { ${policy.map(line => `${line};`).join(' ')} };` : '';
  const allow = allowUpdate ? `allow-update { ${allowUpdate}; };` : '';
  return `zone "${name}" { type primary; file "${fileOf(zone)}"; allow-transfer { any; }; ${update} ${allow} ${more} };`;
}
