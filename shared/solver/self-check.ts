import { Resolver } from 'node:dns/promises';
import type { Agent as PlainAgent, ProxyEnv } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { isIP } from 'node:net';
import { describeError, type Log } from '../base/basics.ts';
import { http } from '../base/http.ts';
import { bracketed, type Identifier, toAddressSet } from '../base/identifier.ts';
import { isReserved } from '../base/reserved-addresses.ts';
import { parseCidr } from '../config/cidr.ts';
import { wholeNumber } from '../config/option-values.ts';
import { parseProxy, proxySecret } from '../config/proxy.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import { type DnsServer, formatServer } from '../dns/exchange.ts';
import { parseDnsAddress } from './dns-server.ts';
import type { ChallengeResponse } from './solver.ts';

/** Whether Quarry looks at a challenge response itself before the CA does. */
export type SelfCheckConfig = {
  mode: 'off' | 'warn' | 'require';
  /** Where the names are served over HTTP. */
  port: number;
  /** DNS servers that names are looked up with; the system's where empty. */
  resolvers: DnsServer[];
  /** CIDRs of addresses that are not public, and that names may lead to all the same. */
  networks: string[];
  /** What leads to the names, which it looks up itself; absent: as the CA does, straight to them. */
  proxy?: ProxyEnv;
};

export function parseSelfCheck(section: SectionReader): SelfCheckConfig {
  const proxy = section.secret('self-check-proxy', parseProxy, proxySecret);
  return {
    ...(proxy !== undefined && proxy !== 'none' && { proxy }),
    mode: section.one('self-check', parseMode) ?? 'warn',
    port: section.one('self-check-port', wholeNumber(1, 65_535)) ?? 80,
    resolvers: section.many('self-check-resolver', parseDnsAddress),
    networks: section.many('self-check-network', parseCidr),
  };
}

const modes = ['off', 'warn', 'require'] as const;

const parseMode: Parse<SelfCheckConfig['mode']> = (text, fail) =>
  modes.find(mode => mode === text.toLowerCase()) ?? fail(`is none of ${modes.join(', ')}`);

const DEADLINE = 5_000;
const MOST_REDIRECTS = 10;
const FOLLOWED = [301, 302, 307, 308];
const LONGEST_PATH = 2_000;
const LONGEST_BODY = 2_048;

/**
 * Looks at an http-01 response as the CA will: through the public name, on port 80.
 *
 * @returns what is wrong with what was seen, in one line, or `undefined` when the response was there
 */
type SelfCheck = (response: ChallengeResponse, signal: AbortSignal) => Promise<string | undefined>;

/**
 * Where a look goes to an address that is reserved, as `networks` allows, only the log has what was seen: a
 * client that leads names there is not to learn what is open.
 *
 * @param isPresented whether the response is not withdrawn yet: an answer that came later says nothing
 */
export function openSelfCheck(
  { port, resolvers, networks, proxy }: SelfCheckConfig,
  log: Log,
  isPresented: (response: ChallengeResponse) => Promise<boolean> = async () => true,
): SelfCheck {
  const isAllowed = toAddressSet(networks);

  async function addressOf(host: string, signal: AbortSignal): Promise<string> {
    if (proxy) return host; // where names lead to is the proxy's business, and that of whoever named it
    const [address] = isIP(host) ? [host] : await resolve(host, resolvers, signal);
    if (!address) throw new Error(`${host} has no address`);
    if (isReserved(address) && !isAllowed(address))
      throw new Error(`${host} leads to ${address}, which is not public`);
    return address;
  }

  /** @param visited gets each address that is asked */
  async function look(url: URL, visited: string[], signal: AbortSignal): Promise<Seen> {
    const address = await addressOf(url.hostname.replace(/^\[(.*)\]$/, '$1'), signal);
    visited.push(address);
    const usual = url.protocol === 'https:' ? 443 : port;
    const seen = await get(url, address, url.port ? Number(url.port) : usual, signal, proxy);
    if (seen.location === undefined) return seen;
    if (visited.length > MOST_REDIRECTS) throw new Error(`${url.host} redirects again and again`);
    return look(follow(url, seen.location, port), visited, signal);
  }

  return async (response, signal) => {
    const { identifier, token, keyAuthorization } = response;
    const url = new URL(`http://${toHost(identifier)}/.well-known/acme-challenge/${token}`);
    const deadline = AbortSignal.timeout(DEADLINE);
    const visited: string[] = [];
    const seen = await look(url, visited, AbortSignal.any([signal, deadline])).catch(error => {
      signal.throwIfAborted();
      return deadline.aborted ? `no answer within ${DEADLINE / 1000} seconds` : describeError(error);
    });
    if (typeof seen !== 'string' && seen.status === 200 && seen.body.trimEnd() === keyAuthorization) return;
    if (typeof seen !== 'string' && !(await isPresented(response))) return;
    const fault = typeof seen === 'string' ? `itself: ${seen}` : describeSeen(seen, visited);
    if (!visited.some(isReserved)) return `Quarry looked at http://${url.host} ${fault}`;
    log.info({ host: url.host, addresses: visited }, `Quarry looked ${fault}`);
    return `Quarry looked at http://${url.host} itself and did not see its response: ${HINT}`;
  };
}

const HINT = 'is /.well-known/acme-challenge/ passed on to a responder there?';

function describeSeen({ status }: Seen, visited: readonly string[]): string {
  const saw = status === 200 ? 'another answer than its own' : `status ${status}`;
  return `(${visited.at(-1)}) itself and saw ${saw}: ${HINT}`;
}

/**
 * Where a redirect leads, if Let's Encrypt would follow it (Boulder's va/http.go, the CA/Browser Forum's
 * requirements in section 3.2.2.4.19).
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

async function resolve(host: string, servers: readonly DnsServer[], signal: AbortSignal): Promise<string[]> {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  if (servers.length > 0) resolver.setServers(servers.map(formatServer));
  const cancel = () => resolver.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const [v6, v4] = await Promise.allSettled([resolver.resolve6(host), resolver.resolve4(host)]);
    const found = [v6, v4].flatMap(answer => (answer.status === 'fulfilled' ? answer.value : []));
    if (found.length === 0 && v4.status === 'rejected')
      throw new Error(`no address found (${v4.reason.code})`);
    return found;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

type Seen = { status: number; body: string; location?: string | undefined };

/** Connects to this very address: what was checked is what is asked. */
function get(
  url: URL,
  address: string,
  port: number,
  signal: AbortSignal,
  proxy: ProxyEnv | undefined,
): Promise<Seen> {
  const secure = url.protocol === 'https:';
  const options = {
    host: address,
    port,
    path: url.pathname + url.search,
    signal,
    // A proxy is asked by the name, from which Node makes the header.
    ...(proxy ? { agent: openAgent(secure, proxy) } : { headers: { Host: url.host } }),
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
function openAgent(secure: boolean, proxy: ProxyEnv): PlainAgent {
  const options = { proxyEnv: proxy, timeout: DEADLINE };
  return secure ? new TlsAgent(options) : new http.Agent(options);
}

function toHost({ type, value }: Identifier): string {
  return type === 'ip' ? bracketed(value) : value;
}
