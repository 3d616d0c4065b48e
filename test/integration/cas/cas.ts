import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { keepBytecode } from '../../support/bring.ts';
import { freePort } from '../../support/free-port.ts';
import { type PebbleOptions, startPebble } from '../../support/pebble.ts';
import { startProcess } from '../../support/processes.ts';
import { provision } from '../../support/provision.ts';
import type { CaProgram, Found } from '../../support/provision-cas.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';

const run = promisify(execFile);

/** What is tried with each CA. */
export type Check =
  | 'http-01'
  | 'several names'
  | 'dns-01'
  | 'renewal'
  | 'revocation'
  | 'rollover'
  | 'external account binding'
  | 'a mended validation'
  | 'quarry acme'
  | 'quarry shaman';

export type RunningCa = AsyncDisposable & {
  directoryUrl: string;
  /** What its HTTPS certificate is verified against; undefined where it speaks plain HTTP. */
  caFile: string | undefined;
  rootPem(): Promise<string>;
  /** What it has printed. */
  output(): string;
  /** What the binding of an account takes, where the CA demands one. */
  eab?: { kid: string; hmacKey: string };
};

export type TestedCa = {
  name: string;
  program: keyof Programs;
  start(program: string): Promise<RunningCa>;
  /** What it does not have, and so is not tried. */
  lacks: Partial<Record<Check, string>>;
};

export type Programs = Record<CaProgram | 'pebble', Found>;

const noBinding = 'it demands no external account binding';
const eab = { kid: 'kid-1', hmacKey: 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W' };
const smallstep = {
  rollover: 'its CA library has no keyChange',
  'external account binding': noBinding,
} as const;

export const testedCas: TestedCa[] = [
  { name: 'Pebble 2.10', program: 'pebble', start: startBoundPebble, lacks: {} },
  { name: 'Pebble 2.4 of Debian', program: 'debianPebble', start: startBoundPebble, lacks: {} },
  { name: 'Caddy 2.6 of Debian', program: 'debianCaddy', start: startCaddy, lacks: smallstep },
  { name: 'Caddy 2.11', program: 'caddy', start: startCaddy, lacks: smallstep },
  { name: 'step-ca 0.30', program: 'stepCa', start: startStepCa, lacks: smallstep },
  { name: 'acme2certifier 0.46', program: 'acme2certifier', start: startAcme2certifier, lacks: {} },
  {
    name: 'serles 1.3',
    program: 'serles',
    start: startSerles,
    lacks: {
      revocation: 'it has no revokeCert',
      rollover: 'it has no keyChange',
      'external account binding': noBinding,
      'quarry acme': 'it validates a challenge that is only looked at, and so never by hand',
    },
  },
];

async function startBoundPebble(command: string): Promise<RunningCa> {
  const config: PebbleOptions['config'] = {
    externalAccountBindingRequired: true,
    externalAccountMACKeys: { [eab.kid]: eab.hmacKey },
  };
  const pebble = await startPebble({ httpPort: 80, dnsServer: '127.0.0.1:53', command, config });
  return Object.assign(pebble, { eab });
}

async function startCaddy(command: string): Promise<RunningCa> {
  const { caFile, certFile, keyFile } = await tlsAuthority();
  return startCa(async (dir, port) => {
    const caddyfile = join(dir, 'Caddyfile');
    await writeFile(
      caddyfile,
      `{
  admin off
  auto_https off
  skip_install_trust
  storage file_system ${dir}
}
https://127.0.0.1:${port} {
  tls ${certFile} ${keyFile}
  acme_server
}
`,
    );
    return {
      command,
      args: ['run', '--adapter', 'caddyfile', '--config', caddyfile],
      env: { HOME: dir },
      directoryUrl: `https://127.0.0.1:${port}/acme/local/directory`,
      caFile,
      root: join(dir, 'pki', 'authorities', 'local', 'root.crt'),
    };
  });
}

async function startStepCa(command: string): Promise<RunningCa> {
  return startCa(async (dir, port) => {
    const { root, issuer, issuerKey } = await makeIssuer(dir);
    const config = {
      root,
      crt: issuer,
      key: issuerKey,
      address: `127.0.0.1:${port}`,
      dnsNames: ['127.0.0.1', 'localhost'],
      logger: { format: 'text' },
      db: { type: 'badgerv2', dataSource: join(dir, 'db') },
      authority: { provisioners: [{ type: 'ACME', name: 'acme' }] },
    };
    const file = join(dir, 'ca.json');
    await writeFile(file, JSON.stringify(config));
    const directoryUrl = `https://127.0.0.1:${port}/acme/acme/directory`;
    return { command, args: [file], env: { STEPPATH: dir }, directoryUrl, caFile: root, root };
  });
}

async function startAcme2certifier(python: string): Promise<RunningCa> {
  const ca = await startCa(async (dir, port) => {
    const { root, issuer, issuerKey } = await makeIssuer(dir);
    const [config, keys] = [join(dir, 'acme_srv.cfg'), join(dir, 'eab.csv')];
    await writeFile(keys, `eab_kid,eab_mac\n${eab.kid},${eab.hmacKey}\n`);
    await writeFile(
      config,
      `[DEFAULT]
debug: False
[CAhandler]
handler_module: acme2certifier.cahandlers.openssl_ca_handler
issuing_ca_key: ${issuerKey}
issuing_ca_cert: ${issuer}
issuing_ca_crl: ${join(dir, 'crl.pem')}
cert_save_path: ${dir}
ca_cert_chain_list: ["${root}"]
[DBhandler]
handler: wsgi
dbfile: ${join(dir, 'acme.db')}
[EABhandler]
eab_handler_module: acme2certifier.eabhandlers.file_handler
key_file: ${keys}
[Challenge]
challenge_validation_timeout: 5
[Order]
tnauthlist_support: False
`,
    );
    return {
      command: python,
      args: gunicorn(port, 'acme2certifier.share.acme2certifier_wsgi:application'),
      env: { ...keepBytecode, ACME_SRV_CONFIGFILE: config },
      directoryUrl: `http://127.0.0.1:${port}/directory`,
      caFile: undefined,
      root,
    };
  });
  return Object.assign(ca, { eab });
}

async function startSerles(python: string): Promise<RunningCa> {
  return startCa(async (dir, port) => {
    const [config, root] = [join(dir, 'config.ini'), join(dir, 'root.pem')];
    await writeFile(
      config,
      `[serles]
database = sqlite:///${join(dir, 'serles.db')}
backend = serles_backend:Backend
subjectNameTemplate = CN={SAN[0]}
allowWildcards = true
[openssl]
cacert = ${root}
cakey = ${join(dir, 'root-key.pem')}
`,
    );
    return {
      command: python,
      args: gunicorn(port, 'serles:create_app()'),
      env: { ...keepBytecode, CONFIG: config, PYTHONPATH: import.meta.dirname },
      directoryUrl: `http://127.0.0.1:${port}/directory`,
      caFile: undefined,
      root,
    };
  });
}

const gunicorn = (port: number, app: string) => [
  ...['-m', 'gunicorn', '--bind', `127.0.0.1:${port}`, '--threads', '8', '--log-level', 'warning'],
  app,
];

type CaProcess = {
  command: string;
  args: string[];
  env: Record<string, string>;
  directoryUrl: string;
  caFile: string | undefined;
  /** The file of its root, which may come with the start. */
  root: string;
};

/** Starts a CA in a folder of its own, and waits until its directory is there. */
async function startCa(configure: (dir: string, port: number) => Promise<CaProcess>): Promise<RunningCa> {
  await using started = new AsyncDisposableStack();
  const { path: dir } = started.use(await tempDir());
  const { command, args, env, directoryUrl, caFile, root } = await configure(dir, await freePort());
  const { curl } = await provision(['curl']);
  const trust = caFile ? ['--cacert', caFile] : [];
  const ca = started.use(
    await startProcess(command, args, {
      name: `the CA at ${directoryUrl}`,
      env,
      cwd: dir,
      ready: async () => (await run(curl, ['-sf', ...trust, directoryUrl])).stdout.includes('newOrder'),
    }),
  );
  const running = started.move();
  return {
    directoryUrl,
    caFile,
    rootPem: () => readFile(root, 'utf8'),
    output: ca.output,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** A root, and what issues below it, as files. */
async function makeIssuer(dir: string): Promise<{ root: string; issuer: string; issuerKey: string }> {
  const { openssl } = await provision(['openssl']);
  const files = ['root.pem', 'root-key.pem', 'issuer.pem', 'issuer-key.pem'] as const;
  const [root, rootKey, issuer, issuerKey] = files.map(file => join(dir, file)) as [
    string,
    string,
    string,
    string,
  ];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const make = (subject: string, out: string, key: string, ...more: string[]) =>
    run(openssl, [
      ...['req', '-x509', '-days', '30', ...newKey, '-subj', subject, '-out', out, '-keyout', key],
      ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign', ...more],
    ]);
  await make('/CN=Quarry test root', root, rootKey);
  const below = ['-CA', root, '-CAkey', rootKey, '-addext', 'basicConstraints=critical,CA:true,pathlen:0'];
  await make('/CN=Quarry test issuer', issuer, issuerKey, ...below);
  return { root, issuer, issuerKey };
}
