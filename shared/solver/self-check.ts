import { Resolver } from 'node:dns/promises';
import { request as tlsRequest } from 'node:https';
import { isIP } from 'node:net';
import { describeError } from '../base/basics.ts';
import { http } from '../base/http.ts';
import { bracketed, type Identifier, toAddressSet } from '../base/identifier.ts';
import { parseCidr } from '../config/cidr.ts';
import { wholeNumber } from '../config/option-values.ts';
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
};

export function parseSelfCheck(section: SectionReader): SelfCheckConfig {
  return {
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
const MOST_REDIRECTS = 5;
const LONGEST_BODY = 2_048;

/**
 * Networks where no public CA looks, and where a name that somebody else controls could lead us (RFC 6890).
 */
const isReserved = toAddressSet([
  ...[
    '0.0.0.0/8',
    '10.0.0.0/8',
    '100.64.0.0/10',
    '127.0.0.0/8',
    '169.254.0.0/16',
    '172.16.0.0/12',
    '192.0.0.0/24',
  ],
  ...[
    '192.0.2.0/24',
    '192.88.99.0/24',
    '192.168.0.0/16',
    '198.18.0.0/15',
    '198.51.100.0/24',
    '203.0.113.0/24',
  ],
  ...[
    '224.0.0.0/4',
    '240.0.0.0/4',
    '::/127',
    '64:ff9b:1::/48',
    '100::/64',
    '2001:db8::/32',
    'fc00::/7',
    'fe80::/10',
  ],
  'ff00::/8',
]);

/**
 * Looks at an http-01 response as the CA will: through the public name, on port 80.
 *
 * @returns what is wrong with what was seen, in one line, or `undefined` when the response was there
 */
type SelfCheck = (response: ChallengeResponse, signal: AbortSignal) => Promise<string | undefined>;

export function openSelfCheck({ port, resolvers, networks }: SelfCheckConfig): SelfCheck {
  const isAllowed = toAddressSet(networks);

  async function addressOf(host: string, signal: AbortSignal): Promise<string> {
    const [address] = isIP(host) ? [host] : await resolve(host, resolvers, signal);
    if (!address) throw new Error(`${host} has no address`);
    if (isReserved(address) && !isAllowed(address))
      throw new Error(`${host} leads to ${address}, which is not public`);
    return address;
  }

  async function look(url: URL, signal: AbortSignal, redirects = 0): Promise<Seen & { address: string }> {
    const address = await addressOf(url.hostname.replace(/^\[(.*)\]$/, '$1'), signal);
    const usual = url.protocol === 'https:' ? 443 : port;
    const seen = await get(url, address, url.port ? Number(url.port) : usual, signal);
    if (seen.location === undefined) return { ...seen, address };
    if (redirects >= MOST_REDIRECTS) throw new Error(`${url.host} redirects again and again`);
    return look(new URL(seen.location, url), signal, redirects + 1);
  }

  return async ({ identifier, token, keyAuthorization }, signal) => {
    const url = new URL(`http://${toHost(identifier)}/.well-known/acme-challenge/${token}`);
    const deadline = AbortSignal.timeout(DEADLINE);
    try {
      const { status, body, address } = await look(url, AbortSignal.any([signal, deadline]));
      if (status === 200 && body.trimEnd() === keyAuthorization) return undefined;
      const saw = status === 200 ? 'another answer than its own' : `status ${status}`;
      return `Quarry looked at http://${url.host} (${address}) itself and saw ${saw}: is /.well-known/acme-challenge/ passed on to a responder there?`;
    } catch (error) {
      signal.throwIfAborted();
      const reason = deadline.aborted ? `no answer within ${DEADLINE / 1000} seconds` : describeError(error);
      return `Quarry looked at http://${url.host} itself: ${reason}`;
    }
  };
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
function get(url: URL, address: string, port: number, signal: AbortSignal): Promise<Seen> {
  const secure = url.protocol === 'https:';
  if (!secure && url.protocol !== 'http:') throw new Error(`a redirect leads to ${url.protocol}`);
  const options = {
    host: address,
    port,
    path: url.pathname + url.search,
    signal,
    headers: { Host: url.host },
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
      const location = status >= 300 && status < 400 ? headers.location : undefined;
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

function toHost({ type, value }: Identifier): string {
  return type === 'ip' ? bracketed(value) : value;
}
