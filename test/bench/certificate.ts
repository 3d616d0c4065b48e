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

/**
 * Chains that differ from this one by their leaf's serial number and name, which are written over: its
 * signature is wrong then, at which nobody looks.
 *
 * @param from the name that the chain is for, as long as each order's
 */
export function chainsLike(chain: string, from: string): (order: FakeOrder) => string {
  const der = decodePem(chain, ['CERTIFICATE']);
  const serial = Buffer.from(new X509Certificate(der).serialNumber, 'hex');
  const serialEnd = der.indexOf(serial) + serial.length;
  const issuers = chain.slice(chain.indexOf(endOfLeaf) + endOfLeaf.length);
  const template = der.toString('latin1');
  return ({ number, name }) => {
    const leaf = Buffer.from(template.replaceAll(from, name), 'latin1');
    if (leaf.length !== der.length) throw new Error(`${name} is not as long as ${from}`);
    leaf.writeUInt32BE(number, serialEnd - 4);
    return encodePem('CERTIFICATE', leaf) + issuers;
  };
}

const endOfLeaf = '-----END CERTIFICATE-----\n';
