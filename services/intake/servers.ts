import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { createSecureContext } from 'node:tls';
import type { Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { http } from '../../shared/base/http.ts';
import type { MgmtConfig } from '../../shared/config/mgmt.ts';
import { pollFiles } from './poll-files.ts';

/** Milliseconds. A CSR is small: a client still sending after 20 s is stalled. */
const RECEIVE_TIMEOUT = 20_000;

const options = {
  headersTimeout: RECEIVE_TIMEOUT,
  requestTimeout: RECEIVE_TIMEOUT,
  connectionsCheckingInterval: 1_000,
  handshakeTimeout: RECEIVE_TIMEOUT,
};

type Files = Pick<MgmtConfig, 'tls' | 'clientCaFile'>;

/** Disposing of it ends its watching of files. */
type Servers = Disposable & {
  create(): Server;
  /**
   * Reads the files of another configuration.
   *
   * @returns has all servers use them for the connections that come from now on
   * @throws Error in one line where they cannot be used
   */
  prepare(files: Files): () => void;
};

/** Makes servers that take over a certificate renewed on disk without a restart. */
export function openServers(files: Files, handler: RequestListener, log: Log): Servers {
  if (!files.tls)
    return {
      create: () => http.createServer(options, handler),
      prepare: () => () => {},
      [Symbol.dispose]() {},
    };
  const servers: TlsServer[] = [];
  let current = files;
  let watching = pollFiles(filesOf(current), reload);

  function apply(context: ReturnType<typeof read>): void {
    for (const server of servers) {
      server.setSecureContext(context);
      Object.assign(server, asking(current));
    }
  }

  function reload(): void {
    const file = current.tls?.certFile;
    try {
      apply(read(current));
      log.info({ file }, 'TLS certificate read again');
    } catch (error) {
      // The two files do not fit each other while only one is written; the second one comes here again.
      log.warn({ file, reason: describeError(error) }, 'TLS certificate unusable, the old one stays');
    }
  }

  return {
    create() {
      const server = createTlsServer({ ...options, ...asking(current), ...read(current) }, handler);
      servers.push(server);
      return server;
    },
    prepare(next) {
      const context = read(next);
      createSecureContext(context);
      return () => {
        watching[Symbol.dispose]();
        current = next;
        apply(context);
        watching = pollFiles(filesOf(current), reload);
      };
    },
    [Symbol.dispose]: () => watching[Symbol.dispose](),
  };
}

/**
 * Whether clients are asked for certificates, which a server decides for each connection. Whether one counts
 * is for admission to say.
 */
const asking = ({ clientCaFile }: Files) => ({
  requestCert: clientCaFile !== undefined,
  rejectUnauthorized: false,
});

/** The CAs are named to clients. A resumed session holds no chain, and would outlive its certificate. */
const read = ({ tls, clientCaFile }: Files) => ({
  ...(tls && { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) }),
  ...(clientCaFile !== undefined && {
    ca: readFileSync(clientCaFile),
    secureOptions: constants.SSL_OP_NO_TICKET,
  }),
});

const filesOf = ({ tls, clientCaFile }: Files) =>
  [tls?.certFile, tls?.keyFile, clientCaFile].filter(file => file !== undefined);
