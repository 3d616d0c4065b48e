import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodePem, encodePem } from '../../../shared/pki/certificate.ts';
import { readCertificateIds } from '../../../shared/pki/certificate-ids.ts';
import { rfc9773Certificate } from './rfc9773-certificate.ts';

test("readCertificateIds() reads the key identifier, and the serial with its leading 00, of RFC 9773's example", () => {
  const { keyIdentifier, serial } = readCertificateIds(rfc9773Certificate);
  assert.equal(keyIdentifier?.toString('hex'), '69885b6b87464041e1b37b847ba0ae2cde01c8d4');
  assert.equal(serial.toString('hex'), '0087654321');
});

test('readCertificateIds() finds no key identifier where the certificate names none', () => {
  const other = Buffer.from('0603551d23', 'hex');
  const der = decodePem(rfc9773Certificate, ['CERTIFICATE']);
  der[der.indexOf(other) + 4] = 0x63;
  assert.equal(readCertificateIds(encodePem('CERTIFICATE', der)).keyIdentifier, undefined);
});

test('readCertificateIds() throws on damage', () => {
  for (const damaged of ['', 'hello', rfc9773Certificate.replace('MIIB', 'MIIC')]) {
    assert.throws(() => readCertificateIds(damaged), Error);
  }
});
