import { execFile } from 'node:child_process';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { provision } from './provision.ts';
import { tempDir } from './temp-dir.ts';

const run = promisify(execFile);

export type Issued = { pem: string; certFile: string; keyFile: string };

type Options = {
  /** Who signs it; by default it signs itself. */
  issuer?: Issued;
  subject?: string;
  /** Lines of OpenSSL's configuration: `basicConstraints = critical,CA:true`. */
  extensions: string[];
  /** OpenSSL's name of a kind of key, P-256 by default. */
  key?: string[];
  digest?: string;
  /** Days from now. */
  from?: number;
  until?: number;
  /** A CSR to certify, in PEM, in place of one with a new key. */
  csr?: string;
};

/** One folder for all of a process's certificates, removed at exit. */
let folder: Promise<string> | undefined;

/** A certificate with a new key, made as people make them: by the openssl command. */
export async function issueCertificate({
  issuer,
  subject = '/CN=a certificate',
  extensions,
  key = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  digest = 'sha256',
  from = -1,
  until = 30,
  csr,
}: Options): Promise<Issued> {
  const { openssl } = await provision(['openssl']);
  folder ??= tempDir().then(({ path }) => path);
  const dir = await mkdtemp(join(await folder, 'certificate-'));
  const at = (name: string) => join(dir, name);
  await writeFile(at('database'), '');
  await writeFile(
    at('openssl.cnf'),
    `[req]
distinguished_name = policy
[ca]
default_ca = own
[own]
database = ${at('database')}
new_certs_dir = ${dir}
rand_serial = yes
default_md = ${digest}
policy = policy
x509_extensions = extensions
unique_subject = no
[policy]
commonName = optional
[extensions]
${extensions.join('\n')}
`,
  );
  const config = ['-config', at('openssl.cnf')];
  const [certFile, keyFile, csrFile] = [at('certificate.pem'), at('key.pem'), at('csr.pem')];
  const newKey = ['-newkey', ...key, '-nodes', '-keyout', keyFile];
  if (csr === undefined) {
    await run(openssl, ['req', '-new', ...config, '-subj', subject, ...newKey, '-out', csrFile]);
  } else await writeFile(csrFile, csr);
  const signer = issuer
    ? ['-cert', issuer.certFile, '-keyfile', issuer.keyFile]
    : ['-selfsign', '-keyfile', keyFile];
  const life = ['-startdate', toOpenSslTime(from), '-enddate', toOpenSslTime(until)];
  const out = ['-in', csrFile, '-out', certFile, '-notext', '-batch'];
  await run(openssl, ['ca', ...config, ...signer, ...life, ...out]);
  return { pem: await readFile(certFile, 'utf8'), certFile, keyFile };
}

const DAY = 86_400_000;

function toOpenSslTime(days: number): string {
  const time = new Date(Date.now() + days * DAY).toISOString();
  return `${time.replace(/[-:T]/g, '').slice(0, 14)}Z`;
}

export const caExtensions = ['basicConstraints = critical,CA:true', 'keyUsage = critical,keyCertSign'];

/** What public CAs write into the certificates of web servers, for these names. */
export const serverExtensions = (...names: string[]) => [
  'basicConstraints = critical,CA:false',
  'keyUsage = critical,digitalSignature',
  'extendedKeyUsage = serverAuth',
  `subjectAltName = ${names.map(name => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',')}`,
];
