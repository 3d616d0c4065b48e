import { connect, createSecureContext } from 'node:tls';
import { fail, generateLoad, type LoadSpec } from './generator.ts';

// A program of its own, `tls-load-generator.ts <LoadSpec as JSON>`: the request is a server name, with which
// whole handshakes for `acme-tls/1` are made, each on a new connection.

const secureContext = createSecureContext();

function openConnection(spec: LoadSpec, answered: (sentAt: number) => void): void {
  const sentAt = performance.now();
  const socket = connect({
    ...{ port: spec.port, host: '127.0.0.1', servername: spec.request, ALPNProtocols: ['acme-tls/1'] },
    ...{ secureContext, rejectUnauthorized: false },
  });
  socket.on('error', error => fail(error.message));
  socket.on('secureConnect', () => {
    if (socket.alpnProtocol !== 'acme-tls/1') fail('the handshake led to another protocol');
    answered(sentAt);
    socket.resume().end();
  });
  socket.on('close', () => openConnection(spec, answered));
}

generateLoad(openConnection);
