import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { suite, test } from 'node:test';
import { createServer, type TlsOptions } from 'node:tls';
import type { Sight } from '../../../../shared/acme-server/validate/look.ts';
import { lookByTls } from '../../../../shared/acme-server/validate/tls-alpn-01.ts';
import type { Identifier } from '../../../../shared/base/identifier.ts';
import { makeAcmeCertificate } from '../../../../shared/pki/acme-certificate.ts';
import { encodePem } from '../../../../shared/pki/certificate.ts';
import { aProof, aSight, keyAuthorization, never } from './a-proof.ts';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
const { identifier: loopback } = aProof();

async function certify(authorization: string, identifier: Identifier = loopback): Promise<string> {
  const digest = createHash('sha256').update(authorization).digest();
  const der = await makeAcmeCertificate(privateKey, identifier, digest, Date.now());
  return encodePem('CERTIFICATE', der);
}

/** What is seen at a server that shows this certificate; `asked` gets the names that it was asked for. */
async function lookAt(
  cert: string,
  options: TlsOptions = {},
  more: Partial<Sight> = {},
  asked: string[] = [],
) {
  const SNICallback: TlsOptions['SNICallback'] = (name, done) => {
    asked.push(name);
    done(null);
  };
  const usual = { key, cert, ALPNProtocols: ['acme-tls/1'], SNICallback };
  const server = createServer({ ...usual, ...options }, socket => socket.on('error', () => {}).end());
  server.on('tlsClientError', (_, socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    return await lookByTls(aProof(), aSight({ tlsPort: port, ...more }), never);
  } finally {
    server.close();
  }
}

suite('a look at a tls-alpn-01 response of a client', () => {
  test('sees the certificate for the name that stands for the address', async () => {
    const asked: string[] = [];
    assert.equal(await lookAt(await certify(keyAuthorization), {}, {}, asked), undefined);
    assert.deepEqual(asked, ['1.0.0.127.in-addr.arpa']);
  });

  test('tells what is wrong with the certificate', async () => {
    const other = await lookAt(await certify('another'));
    assert.equal(other?.kind, 'incorrectResponse');
    assert.match(
      `${other?.detail}`,
      /^127\.0\.0\.1:\d+ \(127\.0\.0\.1\): the certificate has the digest of another/,
    );
    const named = await lookAt(await certify(keyAuthorization, { type: 'dns', value: 'a.example' }));
    assert.match(`${named?.detail}`, /: the certificate is not for 127\.0\.0\.1 alone$/);
  });

  test('tells a server that does not speak acme-tls/1 from one that does not answer', async () => {
    const web = await lookAt(await certify(keyAuthorization), { ALPNProtocols: ['http/1.1'] });
    assert.equal(web?.kind, 'tls');
    const silent = await lookAt(await certify(keyAuthorization), { ALPNProtocols: [] });
    assert.deepEqual(
      [silent?.kind, silent?.detail.endsWith('the server does not speak acme-tls/1')],
      ['tls', true],
    );
    const closed = await lookByTls(aProof(), aSight(), never);
    assert.deepEqual([closed?.kind, /ECONNREFUSED/.test(`${closed?.detail}`)], ['connection', true]);
    const plain = createTcpServer(socket =>
      socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    );
    plain.listen(0, '127.0.0.1');
    await once(plain, 'listening');
    const { port: tlsPort } = plain.address() as AddressInfo;
    assert.equal((await lookByTls(aProof(), aSight({ tlsPort }), never))?.kind, 'tls');
    plain.close();
  });

  test('goes to no address that is not public, and tells the client of none', async () => {
    const refused = await lookByTls(aProof(), aSight({ networks: [] }), never);
    assert.deepEqual(
      [refused?.kind, refused?.detail],
      ['connection', '127.0.0.1:1: it leads to no public address'],
    );
    const elsewhere = [
      await lookByTls(aProof(), aSight({ client: '127.0.0.9' }), never),
      await lookAt(await certify('another'), {}, { client: '127.0.0.9' }),
    ];
    for (const one of elsewhere) {
      assert.equal(one?.kind, 'incorrectResponse');
      assert.match(`${one?.detail}`, /^127\.0\.0\.1:\d+: the response is not there$/);
    }
  });

  test('ends with its signal', async () => {
    const stop = new AbortController();
    const silent = createTcpServer(socket => {
      socket.on('error', () => {});
      stop.abort(new Error('the worker stops'));
    }).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port: tlsPort } = silent.address() as AddressInfo;
    await assert.rejects(lookByTls(aProof(), aSight({ tlsPort }), stop.signal), {
      message: 'the worker stops',
    });
    silent.close();
  });
});
