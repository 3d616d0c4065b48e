import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Real keys, CSRs and certificates, made by the openssl command as Quarry's clients make them.

const folder = mkdtempSync(join(tmpdir(), 'quarry-openssl-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const keyFiles = new Map<string, string>();

/** Runs `openssl` and gives what it printed. */
export function openssl(...args: string[]): string {
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], cwd: folder });
}

/** Runs `openssl` over a text on its standard input. */
export function opensslOver(input: string, ...args: string[]): string {
  return execFileSync('openssl', args, {
    encoding: 'utf8',
    input,
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: folder,
  });
}

/**
 * A key file for the options of `openssl genpkey`, made once per process: `keyFile('-algorithm', 'ED25519')`.
 */
export function keyFile(...options: string[]): string {
  const made = keyFiles.get(options.join(' '));
  if (made) return made;
  const file = join(folder, `key-${keyFiles.size}.pem`);
  openssl('genpkey', ...options, '-out', file);
  keyFiles.set(options.join(' '), file);
  return file;
}

export const ecKey = (curve = 'P-256') =>
  keyFile('-algorithm', 'EC', '-pkeyopt', `ec_paramgen_curve:${curve}`);
export const rsaKey = (bits = 2048) => keyFile('-algorithm', 'RSA', '-pkeyopt', `rsa_keygen_bits:${bits}`);

export type CsrOptions = {
  key?: string;
  /** As `-subj` takes it. */
  subject?: string;
  /** As `subjectAltName` takes it: `DNS:example.org,IP:192.0.2.1`, or `DER:…`. */
  names?: string;
  /** More lines of the request's extension section. */
  extensions?: string[];
  /** More arguments of `openssl req`. */
  options?: string[];
};

/** A PEM CSR of `openssl req`, by default with an EC key and without CN. */
export function makeCsr({
  key = ecKey(),
  subject = '/',
  names,
  extensions = [],
  options = [],
}: CsrOptions): string {
  const lines = [...(names === undefined ? [] : [`subjectAltName=${names}`]), ...extensions];
  const asked = lines.length > 0 ? ['req_extensions = asked', '[dn]', '[asked]', ...lines] : ['[dn]'];
  const config = join(folder, 'req.cnf');
  writeFileSync(config, ['[req]', 'distinguished_name = dn', ...asked, ''].join('\n'));
  return openssl('req', '-new', '-utf8', '-config', config, '-key', key, '-subj', subject, ...options);
}

/** A self-signed certificate with the key and the names of a CSR. */
export function makeCertificate({ names = 'DNS:example.org', days = 90, key = ecKey() } = {}): string {
  const subject = ['-subj', '/CN=example.org', '-addext', `subjectAltName=${names}`];
  return openssl('req', '-x509', '-new', '-key', key, '-days', String(days), ...subject);
}

/** `one.example.org` and so on, as `makeCsr` takes them. */
export function manyNames(count: number): string {
  return Array.from({ length: count }, (_, index) => `DNS:n${index}.example.org`).join(',');
}

/** A CA of this name and key, and what it has signed. @param issuer as `-subj` takes it */
export function makeIssued({
  issuer = '/CN=A test CA',
  issuerKey = ecKey('P-384'),
  names = 'DNS:example.org',
}) {
  const file = join(folder, 'issuer.pem');
  openssl('req', '-x509', '-new', '-key', issuerKey, '-subj', issuer, '-days', '99', '-out', file);
  const subject = ['-subj', '/CN=example.org', '-addext', `subjectAltName=${names}`];
  const by = ['-CA', file, '-CAkey', issuerKey, '-addext', 'basicConstraints=critical,CA:false'];
  const leaf = openssl('req', '-x509', '-new', '-key', ecKey(), '-days', '90', ...by, ...subject);
  return { leaf, issuer: readFileSync(file, 'utf8') };
}
