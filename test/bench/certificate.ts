import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { decodePem, encodePem } from '../../shared/pki/certificate.ts';
import { type Csr, makeCsr } from '../support/csr.ts';
import { provision } from '../support/provision.ts';
import { tlsAuthority } from '../support/tls-authority.ts';
import type { FakeOrder } from './fake-ca.ts';

/**
 * A CSR and a chain of two that certifies it, as long as a CA's would be, without a CA.
 *
 * @param dir for the files that openssl writes
 * @param made an earlier CSR to certify
 */
export async function makeCertificate(
  dir: string,
  names: string[],
  days = 90,
  made?: Csr,
): Promise<Csr & { chain: string }> {
  const { openssl } = await provision(['openssl']);
  const { caFile } = await tlsAuthority();
  const csr = made ?? (await makeCsr({ names }));
  const certFile = join(dir, 'cert.pem');
  const signer = [
    '-CA',
    caFile,
    '-CAkey',
    caFile.replace('.pem', '-key.pem'),
    '-CAserial',
    join(dir, 'serial'),
  ];
  const args = [
    '-req',
    '-in',
    csr.csrFile,
    ...signer,
    '-CAcreateserial',
    '-days',
    `${days}`,
    '-copy_extensions',
    'copy',
  ];
  await promisify(execFile)(openssl, ['x509', ...args, '-out', certFile]);
  return { ...csr, chain: `${await readFile(certFile, 'utf8')}\n${await readFile(caFile, 'utf8')}` };
}

/** Another serial number, written over in the leaf: its signature is wrong then, at which nobody looks. */
export function withSerial(chain: string, number: number): string {
  const der = decodePem(chain, ['CERTIFICATE']);
  const serial = Buffer.from(new X509Certificate(der).serialNumber, 'hex');
  der.writeUInt32BE(number, der.indexOf(serial) + serial.length - 4);
  return withLeaf(chain, der);
}

/**
 * Another serial number and another name, written over alike.
 *
 * @param from the name that the chain is for, as long as the order's
 */
export function chainFor(chain: string, from: string, { number, name }: FakeOrder): string {
  const der = decodePem(chain, ['CERTIFICATE']);
  const named = Buffer.from(der.toString('latin1').replaceAll(from, name), 'latin1');
  if (named.length !== der.length) throw new Error(`${name} is not as long as ${from}`);
  return withSerial(withLeaf(chain, named), number);
}

const endOfLeaf = '-----END CERTIFICATE-----\n';

const withLeaf = (chain: string, der: Buffer) =>
  encodePem('CERTIFICATE', der) + chain.slice(chain.indexOf(endOfLeaf) + endOfLeaf.length);
