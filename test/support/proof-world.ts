import { createHash, generateKeyPairSync, hash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createSecureContext, createServer } from 'node:tls';
import { makeAcmeCertificate } from '../../shared/pki/acme-certificate.ts';
import { encodePem } from '../../shared/pki/certificate.ts';
import { listen } from './listen.ts';
import { reply, startScriptedDns } from './scripted-dns.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const key = privateKey.export({ type: 'pkcs8', format: 'pem' });

async function certify(name: string, keyAuthorization: string) {
  const digest = createHash('sha256').update(keyAuthorization).digest();
  const identifier = { type: 'dns', value: name } as const;
  const der = await makeAcmeCertificate(privateKey, identifier, digest, Date.now());
  return createSecureContext({ key, cert: encodePem('CERTIFICATE', der) });
}

/**
 * Where ACME clients show their proofs: name servers, and web servers on 127.0.0.1, that show what a test
 * puts there. Names are those of challenges: without `*.`.
 */
export async function startProofWorld() {
  await using stack = new AsyncDisposableStack();
  const addresses = new Map<string, string[]>();
  const texts = new Map<string, string[]>();
  const files = new Map<string, string | Handler>();
  const certificates = new Map<string, string>();
  const asked: string[] = [];

  const dns = stack.use(
    await startScriptedDns(one => {
      const [{ name = '', type } = {}] = one.questions ?? [];
      if (type === 'TXT')
        return [
          reply(
            one,
            (texts.get(name) ?? []).map(data => ({ name, type, data: [data], ttl: 1 })),
          ),
        ];
      const isV6 = type === 'AAAA';
      const fitting = (addresses.get(name) ?? []).filter(address => address.includes(':') === isV6);
      return [
        reply(
          one,
          fitting.map(data => ({ name, type: isV6 ? 'AAAA' : 'A', data, ttl: 1 }) as const),
        ),
      ];
    }),
  );
  const web = stack.use(
    await listen((request, response) => {
      const { url = '' } = request;
      asked.push(`${request.headers.host} ${url}`);
      const file = files.get(url);
      if (typeof file === 'function') return file(request, response);
      response.writeHead(file === undefined ? 404 : 200).end(file);
    }),
  );
  const tls = createServer({
    ALPNProtocols: ['acme-tls/1'],
    SNICallback(name, done) {
      asked.push(`tls ${name}`);
      const shown = certificates.get(name);
      if (shown === undefined) return done(new Error('no certificate'));
      certify(name, shown).then(context => done(null, context), done);
    },
  });
  tls.on('tlsClientError', (_, socket) => socket.destroy());
  tls.on('secureConnection', socket => socket.on('error', () => {}).end()).listen(0, '127.0.0.1');
  await once(tls, 'listening');
  stack.defer(() => void tls.close());
  const running = stack.move();

  return {
    addresses,
    /** By path. */
    files,
    /** What was asked for over HTTP and TLS. */
    asked,
    httpPort: web.port,
    /** What `[acme]` says, so that workers look here. */
    proof: { resolvers: [dns.server], httpPort: web.port, tlsPort: (tls.address() as AddressInfo).port },
    /** Shows the response to a challenge for a name. */
    show(type: string, name: string, token: string, thumbprint: string) {
      const keyAuthorization = `${token}.${thumbprint}`;
      if (type === 'http-01') files.set(`/.well-known/acme-challenge/${token}`, keyAuthorization);
      if (type === 'dns-01')
        texts.set(`_acme-challenge.${name}`, [hash('sha256', keyAuthorization, 'base64url')]);
      if (type === 'tls-alpn-01') certificates.set(name, keyAuthorization);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

export type ProofWorld = Awaited<ReturnType<typeof startProofWorld>>;
