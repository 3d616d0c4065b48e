import type { Agent as PlainAgent, ProxyEnv } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { isIP } from 'node:net';
import { describeError } from '../base/errors.ts';
import { http } from '../base/http.ts';
import { bracketed, type Identifier } from '../base/identifier.ts';
import { askEither, findWay, type NoWay, type WayParts } from './find-addresses.ts';

/** How what a name serves over HTTP is looked at. */
type HttpLookParts = WayParts & {
  /** Where names are served over HTTP. */
  port: number;
  /** What leads to the names, which it looks up itself; absent: as a CA does, straight to them. */
  proxy?: ProxyEnv | undefined;
  /** Milliseconds, for all of it. */
  deadline: number;
};

/** What was seen, or why nothing was, in one line. `visited`: each address that was asked, in that order. */
type Looked = { visited: string[] } & ({ status: number; body: string } | NoWay);

const MOST_REDIRECTS = 10;
const FOLLOWED = [301, 302, 307, 308];
const LONGEST_PATH = 2_000;
const LONGEST_BODY = 2_048;

/** Why nothing was seen. */
class Unseen extends Error {
  readonly noWay: NoWay;
  constructor(noWay: NoWay) {
    super(noWay.fault);
    this.noWay = noWay;
  }
}

/**
 * Looks at a URL as Let's Encrypt does (Boulder's va/http.go, the CA/Browser Forum's requirements in section
 * 3.2.2.4.19): follows redirects, and asks an IPv6 address first, an IPv4 address where that fails.
 *
 * @returns rejects with the reason of the signal alone
 */
export function openHttpLook({ port, proxy, deadline: longest, ...parts }: HttpLookParts) {
  async function addressesOf(host: string, signal: AbortSignal): Promise<string[]> {
    if (proxy) return [host]; // where names lead to is the proxy's business, and that of whoever named it
    const way = await findWay(host, parts, signal);
    if (Array.isArray(way)) return way;
    throw new Unseen(way);
  }

  /** @param visited gets each address that is asked */
  async function look(url: URL, redirects: number, visited: string[], signal: AbortSignal): Promise<Seen> {
    const addresses = await addressesOf(url.hostname.replace(/^\[(.*)\]$/, '$1'), signal);
    const usual = url.protocol === 'https:' ? 443 : port;
    const at = url.port ? Number(url.port) : usual;
    const ask = (address: string, patience: AbortSignal) => {
      visited.push(address);
      return get(url, address, at, { signal: patience, proxy, timeout: longest });
    };
    const seen = await askEither(addresses, ask, longest / 2, signal);
    if (seen.location === undefined) return seen;
    if (redirects === MOST_REDIRECTS) throw new Error(`${url.host} redirects again and again`);
    return look(follow(url, seen.location, port), redirects + 1, visited, signal);
  }

  return async (url: URL, signal: AbortSignal): Promise<Looked> => {
    const deadline = AbortSignal.timeout(longest);
    const visited: string[] = [];
    try {
      const { status, body } = await look(url, 0, visited, AbortSignal.any([signal, deadline]));
      return { visited, status, body };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Unseen && !deadline.aborted) return { visited, ...error.noWay };
      const fault = deadline.aborted ? `no answer within ${longest / 1000} seconds` : describeError(error);
      return { visited, fault, cause: 'connection' };
    }
  };
}

/** Where the response to an http-01 challenge is looked for (RFC 8555 section 8.3, RFC 8738 section 5). */
export function toHttp01Url({ type, value }: Identifier, token: string): URL {
  return new URL(`http://${type === 'ip' ? bracketed(value) : value}/.well-known/acme-challenge/${token}`);
}

/**
 * Where a redirect leads, if Let's Encrypt would follow it.
 *
 * @param own the port where names are served over HTTP
 */
function follow(from: URL, location: string, own: number): URL {
  const to = URL.parse(location, from);
  if (!to) throw new Error('a redirect leads to no valid URL');
  if (to.protocol !== 'http:' && to.protocol !== 'https:')
    throw new Error(`a redirect leads to ${to.protocol}`);
  if (to.port !== '' && ![80, 443, own].includes(Number(to.port)))
    throw new Error(`a redirect leads to port ${to.port}; CAs follow to 80 and 443 alone`);
  if (to.hostname.endsWith('.well-known'))
    throw new Error(`a redirect leads to the host ${to.hostname}; is there a / missing in it?`);
  if (to.pathname.length > LONGEST_PATH) throw new Error('a redirect leads to a path that is too long');
  return to;
}

type Seen = { status: number; body: string; location?: string | undefined };

/** Connects to this very address: what was checked is what is asked. */
function get(
  url: URL,
  address: string,
  port: number,
  { signal, proxy, timeout }: { signal: AbortSignal; proxy: ProxyEnv | undefined; timeout: number },
): Promise<Seen> {
  const secure = url.protocol === 'https:';
  const options = {
    host: address,
    port,
    path: url.pathname + url.search,
    signal,
    // A proxy is asked by the name, from which Node makes the header.
    ...(proxy ? { agent: openAgent(secure, proxy, timeout) } : { headers: { Host: url.host } }),
  };
  const servername = isIP(url.hostname) ? '' : url.hostname;
  return new Promise((resolve, reject) => {
    // A CA that follows a redirect to https looks at no certificate either: getting one is what this is
    // about.
    const request = secure
      ? tlsRequest({ ...options, servername, rejectUnauthorized: false })
      : http.request(options);
    request.on('error', reject).on('response', response => {
      const { statusCode: status = 0, headers } = response;
      const location = FOLLOWED.includes(status) ? headers.location : undefined;
      let body = '';
      const finish = () => {
        response.destroy();
        resolve({ status, body, location });
      };
      if (location !== undefined) return finish();
      response.setEncoding('latin1').on('error', reject).on('end', finish);
      response.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > LONGEST_BODY) finish();
      });
    });
    request.end();
  });
}

/** Its own, and not kept: the timeout is that of the proxy's tunnel. */
function openAgent(secure: boolean, proxy: ProxyEnv, timeout: number): PlainAgent {
  const options = { proxyEnv: proxy, timeout };
  return secure ? new TlsAgent(options) : new http.Agent(options);
}
