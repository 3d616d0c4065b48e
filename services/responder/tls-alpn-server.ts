import { constants, generateKeyPairSync } from 'node:crypto';
import { createServer as createTcpServer, type Server } from 'node:net';
import { createSecureContext, createServer, type SecureContext, type TLSSocket } from 'node:tls';
import { LRUCache } from 'lru-cache';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import type { Identifier } from '../../shared/base/identifier.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import type { ConnectionRoom } from '../../shared/base/role.ts';
import { makeAcmeCertificate } from '../../shared/pki/acme-certificate.ts';
import { encodePem } from '../../shared/pki/certificate.ts';
import type { TlsAlpnResponses } from '../../shared/solver/tlsalpn01.ts';
import { type ConnectionLimits, capConnections, withinRoom } from './cap-connections.ts';
import { fromServerName } from './server-name.ts';

const PROTOCOL = 'acme-tls/1';
const HANDSHAKE_TIMEOUT = 10_000;
/** How long a client may take to close after the handshake. */
const GOODBYE_TIMEOUT = 2_000;
const USUAL_LIMITS: ConnectionLimits = { connections: 1_024, perAddress: 32 };

type TlsAlpnParts = {
  responses: Pick<TlsAlpnResponses, 'get'>;
  /** Whether an address is that of a proxy, such as nginx with `ssl_preread`, which brings many clients. */
  isProxy(address: string): boolean;
  limits?: ConnectionLimits;
  room?: ConnectionRoom | undefined;
  clock: Clock;
  log: Log;
  metrics: Registry;
};

/**
 * Makes servers that answer tls-alpn-01 challenges (RFC 8737) with handshakes of `acme-tls/1`, and nothing
 * else.
 */
export function tlsAlpnServers(parts: TlsAlpnParts): () => Server {
  const { responses, isProxy, limits = USUAL_LIMITS, room, clock, log, metrics } = parts;
  const contextOf = openCertificates(clock);
  const handshakes = new Counter({
    name: 'quarry_responder_tls_alpn_handshakes_total',
    help: 'Handshakes for tls-alpn-01: answered, refused for lack of acme-tls/1, or failed, also because nothing is known of the name',
    labelNames: ['result'],
    registers: [metrics],
  });

  async function find(serverName: string): Promise<SecureContext | undefined> {
    const identifier = fromServerName(serverName);
    const digest = identifier && (await responses.get(identifier.value));
    log.debug({ identifier: identifier?.value, found: digest !== undefined }, 'handshake asked for');
    return identifier && digest ? contextOf(identifier, digest) : undefined;
  }

  const options = {
    minVersion: 'TLSv1.2',
    ALPNProtocols: [PROTOCOL],
    handshakeTimeout: HANDSHAKE_TIMEOUT,
    // No client comes back to resume a session.
    secureOptions: constants.SSL_OP_NO_TICKET,
    /** A name without a challenge gets no certificate, and so a handshake_failure alert. */
    SNICallback(serverName: string, done: (error: Error | null, context?: SecureContext) => void) {
      find(serverName).then(
        context => done(null, context),
        error => {
          log.warn({ reason: describeError(error) }, 'challenge cannot be looked up');
          done(error);
        },
      );
    },
  } as const;

  return () => {
    const handshaking = createServer(options, socket => {
      handshakes.inc({ result: socket.alpnProtocol === PROTOCOL ? 'answered' : 'refused' });
      sayGoodbye(socket);
    });
    handshaking.on('tlsClientError', (error, socket) => {
      const refused = (error as NodeJS.ErrnoException).code === 'ERR_SSL_NO_APPLICATION_PROTOCOL';
      handshakes.inc({ result: refused ? 'refused' : 'failed' });
      socket.destroy();
    });
    const connections = capConnections(withinRoom(limits, room), isProxy);
    return createTcpServer(socket => {
      socket.on('error', () => {}); // 'close' follows
      if (connections.admit(socket)) handshaking.emit('connection', socket);
    });
  };
}

/** The handshake has said all (RFC 8737 section 4); what comes after it is passed over. */
function sayGoodbye(socket: TLSSocket): void {
  socket.on('error', () => {}).setTimeout(GOODBYE_TIMEOUT, () => socket.destroy());
  socket.resume().end();
}

const MOST_CERTIFICATES = 1_000;
const CERTIFICATE_LIFE = 86_400_000;

/** Certificates of a key of this process's own, made once each: a CA looks from several places. */
function openCertificates(clock: Clock) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  const contexts = new LRUCache<string, Promise<SecureContext>>({
    max: MOST_CERTIFICATES,
    ttl: CERTIFICATE_LIFE,
  });

  async function make(identifier: Identifier, digest: string): Promise<SecureContext> {
    const der = await makeAcmeCertificate(
      privateKey,
      identifier,
      Buffer.from(digest, 'base64url'),
      clock.now(),
    );
    return createSecureContext({ key, cert: encodePem('CERTIFICATE', der) });
  }

  return (identifier: Identifier, digest: string): Promise<SecureContext> => {
    const name = `${identifier.value} ${digest}`;
    const context = contexts.get(name) ?? make(identifier, digest);
    contexts.set(name, context);
    return context;
  };
}
