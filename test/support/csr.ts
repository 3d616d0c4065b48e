import { execFile } from 'node:child_process';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { provision } from './provision.ts';
import { tempDir } from './temp-dir.ts';

const run = promisify(execFile);

export type CsrOptions = {
  /** The DNS names, all of them in the SANs. */
  names: string[];
  ips?: string[];
  /** P-256 (`ec`) by default, for it is fast. */
  key?: 'rsa' | 'ec' | 'p384' | 'p521';
  /** By default the first name, unless that is longer than a CN may be; false for none. */
  commonName?: string | false;
};

export type Csr = { csrPem: string; keyPem: string; csrFile: string; keyFile: string };

const newKey = {
  rsa: ['rsa:2048'],
  ec: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  p384: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  p521: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-521'],
};

/** One folder for all of a process's CSRs, removed at exit. */
let folder: Promise<string> | undefined;

/** A new key and a CSR for it, made as users make them: by the openssl command. */
export async function makeCsr({
  names,
  ips = [],
  key = 'ec',
  commonName = firstCommonName(names),
}: CsrOptions): Promise<Csr> {
  const { openssl } = await provision(['openssl']);
  folder ??= tempDir().then(({ path }) => path);
  const dir = await mkdtemp(join(await folder, 'csr-'));
  const [csrFile, keyFile, configFile] = [
    join(dir, 'csr.pem'),
    join(dir, 'key.pem'),
    join(dir, 'openssl.cnf'),
  ];
  const subjectAltName = [...names.map(name => `DNS:${name}`), ...ips.map(ip => `IP:${ip}`)].join(',');
  await writeFile(
    configFile,
    `[req]
distinguished_name = subject
${subjectAltName && 'req_extensions = extensions'}
[subject]
[extensions]
${subjectAltName && `subjectAltName = ${subjectAltName}`}
`,
  );
  const args = [
    '-config',
    configFile,
    '-nodes',
    '-keyout',
    keyFile,
    '-out',
    csrFile,
    '-newkey',
    ...newKey[key],
  ];
  const subject = commonName ? `/CN=${commonName}` : '/';
  await run(openssl, ['req', '-new', '-subj', subject, ...args]);
  const [csrPem, keyPem] = await Promise.all([readFile(csrFile, 'utf8'), readFile(keyFile, 'utf8')]);
  return { csrPem, keyPem, csrFile, keyFile };
}

const firstCommonName = ([name = '']: string[]): string | false =>
  name.length > 0 && name.length <= 64 && name;
