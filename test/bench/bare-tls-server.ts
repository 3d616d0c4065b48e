import { generateKeyPairSync } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { makeAcmeCertificate } from '../../shared/pki/acme-certificate.ts';
import { encodePem } from '../../shared/pki/certificate.ts';

// A program of its own, `bare-tls-server.ts <name>`: the least that a Node server does which answers TLS-ALPN
// handshakes.

const [name = ''] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const der = await makeAcmeCertificate(privateKey, { type: 'dns', value: name }, Buffer.alloc(32), Date.now());
const key = privateKey.export({ type: 'pkcs8', format: 'pem' });

const server = createServer(
  { key, cert: encodePem('CERTIFICATE', der), ALPNProtocols: ['acme-tls/1'] },
  socket => {
    socket.on('error', () => {}).end();
  },
);
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening on ${(server.address() as AddressInfo).port}\n`);
});
