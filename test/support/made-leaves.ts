import { execFileSync } from 'node:child_process';
import { hash, randomBytes, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeCertificate } from '../../shared/pki/certificate-fields.ts';
import { wholeOf } from '../../shared/pki/der.ts';

type Template = { der: Buffer; noise: Buffer[] };

/** By the days of their life; each is made once per process. */
const templates = new Map<number, Template>();

/** What stands in the template for what differs from leaf to leaf. */
const TEMPLATE_NAME = 'host-0000000.example.org';
const SCT_NOISE = 71;
const EC_POINT = 64;
const SIGNATURE_END = 96;
const KEY_IDENTIFIER = 20;

/**
 * Leaves as long as those of Let's Encrypt, any number of them, of one issuer: the names differ, and what is
 * random in a real one is random here. The signatures are wrong, at which nobody looks.
 */
export type LeafMaker = {
  /** @param number from 0 to 9,999,999, for the name `host-0000042.example.org` */
  make(number: number): Buffer;
};

export const nameOf = (number: number) => `host-${String(number).padStart(7, '0')}.example.org`;

export function openLeafMaker({ days = 90 }: { days?: number } = {}): LeafMaker {
  const template = templates.get(days) ?? makeTemplate(days);
  templates.set(days, template);
  const { serial, publicKeyInfo } = decodeCertificate(template.der);
  const spki = template.der.indexOf(wholeOf(publicKeyInfo)) + wholeOf(publicKeyInfo).length - EC_POINT;
  const serialAt = template.der.indexOf(wholeOf(serial)) + wholeOf(serial).length - 16;
  const point = template.der.subarray(spki - 1, spki + EC_POINT); // 04, x and y
  const identifierAt = template.der.indexOf(Buffer.from(hash('sha1', point), 'hex'));
  return {
    make(number) {
      const text = template.der.toString('latin1').replaceAll(TEMPLATE_NAME, nameOf(number));
      const der = Buffer.from(text, 'latin1');
      randomBytes(16).copy(der, serialAt);
      randomBytes(EC_POINT).copy(der, spki);
      randomBytes(KEY_IDENTIFIER).copy(der, identifierAt);
      for (const sct of template.noise) randomBytes(SCT_NOISE).copy(der, template.der.indexOf(sct));
      randomBytes(SIGNATURE_END).copy(der, der.length - SIGNATURE_END);
      return der;
    },
  };
}

function makeTemplate(days: number): Template {
  const dir = mkdtempSync(join(tmpdir(), 'quarry-leaves-'));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
  const noise = [randomBytes(SCT_NOISE), randomBytes(SCT_NOISE)];
  try {
    openssl('ecparam', '-name', 'secp384r1', '-genkey', '-noout', '-out', 'ca.key');
    const subject = "/C=US/O=Let's Test/CN=E7";
    openssl('req', '-x509', '-new', '-key', 'ca.key', '-subj', subject, '-days', '999', '-out', 'ca.pem');
    openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'leaf.key');
    openssl('req', '-new', '-key', 'leaf.key', '-subj', `/CN=${TEMPLATE_NAME}`, '-out', 'leaf.csr');
    writeFileSync(join(dir, 'extensions'), toExtensions(noise));
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-sha384', '-extfile', 'extensions'];
    const serial = ['-set_serial', `0x05${randomBytes(17).toString('hex')}`, '-days', `${days}`];
    openssl('x509', '-req', '-in', 'leaf.csr', ...signed, ...serial, '-out', 'leaf.pem');
    return { der: new X509Certificate(readFileSync(join(dir, 'leaf.pem'))).raw, noise };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Those of a leaf of Let's Encrypt, with two SCTs (RFC 6962 section 3.3). */
function toExtensions(noise: readonly Buffer[]): string {
  const scts = noise.map(random =>
    Buffer.concat([
      Buffer.from('007600', 'hex'),
      Buffer.alloc(32, 7), // the log's id
      Buffer.from('0000019a00000000', 'hex'),
      Buffer.from('000004030047', 'hex'),
      random,
    ]),
  );
  const list = Buffer.concat(scts);
  const body = Buffer.concat([Buffer.of(list.length >> 8, list.length & 0xff), list]);
  const value = Buffer.concat([Buffer.of(0x04, 0x81, body.length), body]);
  return [
    'keyUsage=critical,digitalSignature',
    'extendedKeyUsage=serverAuth',
    'basicConstraints=critical,CA:FALSE',
    'subjectKeyIdentifier=hash',
    'authorityKeyIdentifier=keyid',
    'authorityInfoAccess=caIssuers;URI:http://e7.i.example/',
    `subjectAltName=DNS:${TEMPLATE_NAME}`,
    'certificatePolicies=2.23.140.1.2.1',
    'crlDistributionPoints=URI:http://e7.c.example/17.crl',
    `1.3.6.1.4.1.11129.2.4.2=DER:${value.toString('hex').replace(/..(?=.)/g, '$&:')}`,
    '',
  ].join('\n');
}
