import type { IncomingMessage, ProxyEnv } from 'node:http';
import { type RequestOptions, Agent as TlsAgent, request as tlsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { urlToHttpOptions } from 'node:url';
import type { Exchange, Sent } from './exchange.ts';
import { type Answer, LARGEST_BODY, REQUEST_TIMEOUT, tooLarge } from './read-answer.ts';

/**
 * Exchanges with a CA behind a proxy, over TLS: by Node's client, which knows proxies and who needs none.
 */
export class ProxiedExchanges implements Disposable {
  readonly #agent: TlsAgent;

  /** @param ca PEM certificates of the authorities to trust in place of the system's */
  constructor(proxyEnv: ProxyEnv, ca?: string[]) {
    const how = { keepAlive: true, keepAliveMsecs: 10_000, scheduling: 'lifo' as const };
    this.#agent = new OneTrustAgent({ ...how, ...(ca && { ca }), proxyEnv, timeout: REQUEST_TIMEOUT });
  }

  begin(target: URL, { method, headers, body }: Sent): Exchange {
    const { hostname: host, port, path } = urlToHttpOptions(target);
    // A list is sent as it is; Node sets and checks one by one what comes in an object.
    const all = ['Host', target.host, ...headers];
    const request = tlsRequest({ host, port, path, headers: all, method, agent: this.#agent });
    request.end(body);
    const answer = new Promise<Answer>((resolve, reject) => {
      request.on('error', reject);
      request.on('response', response => readAnswer(response).then(resolve, reject));
    });
    return {
      answer,
      cut() {
        request.destroy();
        request.emit('error', new Error('cut off')); // while it waits for the tunnel, Node says nothing of it
      },
    };
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > LARGEST_BODY) throw tooLarge(); // which ends the request
    chunks.push(chunk);
  }
  const headers = response.headers as Answer['headers']; // but for Set-Cookie, which nothing reads
  return { status: response.statusCode ?? 0, headers, body: Buffer.concat(chunks).toString() };
}

/**
 * All of its connections are opened with the same trust, so that host and port tell them apart. Node's name
 * holds all that TLS can be given, the authorities' certificates too, and is made anew thrice a request.
 */
class OneTrustAgent extends TlsAgent {
  /** Node's agent knows of those alone that lead to the CA, and not of one that is still to get there. */
  readonly #connections = new Set<Duplex>();

  override createConnection(...[options, made]: Parameters<TlsAgent['createConnection']>) {
    const connection = super.createConnection(options, (error, stream) => {
      if (error) connection?.destroy(); // of a proxy that has refused, where Node leaves it open
      made?.(error, stream);
    });
    if (!connection) return connection;
    this.#connections.add(connection);
    return connection.once('close', () => this.#connections.delete(connection));
  }

  override destroy(): void {
    super.destroy();
    for (const one of this.#connections) one.destroy(new Error('the connection was closed'));
  }

  override getName({ host, port }: RequestOptions = {}): string {
    return `${host}:${port}`;
  }
}
