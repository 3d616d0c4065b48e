import { Agent, request } from 'node:https';
import { text } from 'node:stream/consumers';

/** An answer that is on its way from Pebble, or from a rule, to the client. */
export type Answer = {
  status: number;
  /** Names in lower case. Content-Length is made from the body unless it is given. */
  headers: Record<string, string | string[]>;
  body: string;
  /** The connection breaks when so many bytes of the body are sent. */
  cutAfter?: number;
};

export type UpstreamRequest = {
  method: string;
  path: string;
  headers: NodeJS.Dict<string | string[]>;
  body?: string;
};

/** Pebble, over connections that are kept alive. */
export type Upstream = Disposable & {
  /** Rejects when Pebble cannot be reached or breaks the connection. */
  ask(request: UpstreamRequest): Promise<Answer>;
  /** A nonce that Pebble will take; undefined when it gives none. */
  freshNonce(): Promise<string | undefined>;
};

/** These belong to one connection (RFC 9110 section 7.6.1), or are made anew from the body. */
const hopByHop = ['connection', 'keep-alive', 'transfer-encoding', 'content-length'];

/** @param ca PEM of the CA that certifies the server */
export function openUpstream(baseUrl: string, ca: string): Upstream {
  const agent = new Agent({ ca, keepAlive: true, scheduling: 'lifo' });

  const ask = ({ method, path, headers, body }: UpstreamRequest) =>
    new Promise<Answer>((done, fail) => {
      const length = body === undefined ? {} : { 'content-length': `${Buffer.byteLength(body)}` };
      const asked = request(new URL(path, baseUrl), {
        method,
        agent,
        headers: { ...without(headers), ...length },
      });
      asked.on('error', fail);
      asked.on('response', answer => {
        const headers = Object.entries(without(answer.headersDistinct)).map(([name, values]) => [
          name,
          oneOrMore(values),
        ]);
        const toAnswer = (body: string) => ({
          status: answer.statusCode ?? 0,
          headers: Object.fromEntries(headers),
          body,
        });
        text(answer).then(body => done(toAnswer(body)), fail);
      });
      asked.end(body);
    });

  return {
    ask,
    async freshNonce() {
      const headers = { 'user-agent': 'fault-proxy' };
      const answer = await ask({ method: 'GET', path: '/nonce-plz', headers }).catch(() => undefined);
      return answer?.headers['replay-nonce']?.toString();
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

function without(headers: NodeJS.Dict<string | string[]>): Record<string, string | string[]> {
  const kept = Object.entries(headers).filter(([name]) => !hopByHop.includes(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, value ?? '']));
}

const oneOrMore = (values: string | string[]) => (values.length === 1 ? (values[0] ?? '') : values);

/** The object that a JSON text holds; undefined when it holds none. */
export function parseObject(json: string): Record<string, unknown> | undefined {
  if (!json.startsWith('{')) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
