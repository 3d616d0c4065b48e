import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Context } from 'koa';
import {
  type ClientCa,
  describeShown,
  openClientCa,
  readForwardedCertificate,
  type ShownCertificate,
} from '../../shared/admission/client-ca.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { pollFiles } from './poll-files.ts';

type Parts = {
  isTrustedProxy: (address: string) => boolean;
  /** By the `keyDigest` of each. */
  blockedKeys: { has(publicKey: string): boolean };
  clock: Clock;
  log: Log;
};

export type ClientCertificates = {
  certificateOf(ctx: Context): ShownCertificate | undefined;
  /** Reads the CAs again when their file changes, until what it returns is disposed of. */
  watch(): Disposable;
};

/**
 * Finds the certificate that a request's client shows: the one of its own TLS connection, or the one that a
 * trusted proxy says it has seen. What a proxy shows for itself is not its clients'.
 *
 * @param file PEM of the CAs
 * @throws Error in one line where the file cannot be used
 */
export function openClientCertificates(
  file: string,
  { isTrustedProxy, blockedKeys, clock, log }: Parts,
): ClientCertificates {
  const clientCa = openWatchable(file, log);

  function verify(chain: readonly Buffer[]): ShownCertificate {
    const shown = clientCa.current.verify(chain, clock.now());
    const isBlocked = !('fault' in shown) && blockedKeys.has(shown.publicKey);
    return isBlocked ? { fault: 'has a key that is blocked' } : shown;
  }

  function find({ socket, headersDistinct }: IncomingMessage): ShownCertificate | undefined {
    const forwarded = headersDistinct['x-ssl-client-cert'];
    if (isTrustedProxy(socket.remoteAddress ?? '')) return forwarded && verifyForwarded(forwarded, verify);
    const chain = socket instanceof TLSSocket ? chainOf(socket) : [];
    if (chain.length > 0) return verify(chain);
    return forwarded && { fault: 'in X-SSL-Client-Cert does not count, as no trusted-proxy has sent it' };
  }

  return {
    certificateOf({ req, state }) {
      const shown = find(req);
      if (!shown) return undefined;
      state.certificate = describeShown(shown);
      if ('fault' in shown) state.badCertificate = state.certificate;
      return shown;
    },
    watch: clientCa.watch,
  };
}

function verifyForwarded(
  headers: readonly string[],
  verify: (chain: readonly Buffer[]) => ShownCertificate,
): ShownCertificate | undefined {
  const [header = '', ...more] = headers;
  if (more.length > 0) return { fault: 'is given twice, in two X-SSL-Client-Cert headers' };
  if (header.trim() === '') return undefined; // the proxy's client has none
  const chain = readForwardedCertificate(header);
  return chain ? verify(chain) : { fault: 'in X-SSL-Client-Cert cannot be read' };
}

/** More than any chain has. */
const MOST_LINKS = 10;

/** DER, leaf first; empty where the client has none. Sessions are not resumed, so it is always whole. */
function chainOf(socket: TLSSocket): Buffer[] {
  const chain: Buffer[] = [];
  let link = socket.getPeerX509Certificate();
  while (link && chain.length < MOST_LINKS) {
    chain.push(link.raw);
    link = link.issuerCertificate;
  }
  return chain;
}

function openWatchable(file: string, log: Log): { readonly current: ClientCa; watch(): Disposable } {
  let current = openClientCaFile(file);
  const reload = () => {
    try {
      current = openClientCaFile(file);
      log.info({ file }, 'client-ca read again');
    } catch (error) {
      log.warn({ file, reason: describeError(error) }, 'client-ca unusable, the old one stays');
    }
  };
  return {
    get current() {
      return current;
    },
    watch: () => pollFiles([file], reload),
  };
}

function openClientCaFile(file: string): ClientCa {
  try {
    return openClientCa(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`client-ca ${file} cannot be used`, { cause: error });
  }
}
