import type { ProxyEnv } from 'node:http';
import type { Log } from '../base/basics.ts';
import { isReserved } from '../base/reserved-addresses.ts';
import { parseCidr } from '../config/cidr.ts';
import { inCode, type OptionRows } from '../config/option-rows.ts';
import { wholeNumber } from '../config/option-values.ts';
import { parseProxy, proxySecret } from '../config/proxy.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import type { DnsServer } from '../dns/exchange.ts';
import { parseDnsAddress } from './dns-server.ts';
import { openHttpLook, toHttp01Url } from './http-look.ts';
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

export const MODE = 'warn';
export const PORT = 80;

/** Of the kinds that look. */
export const selfCheckRows: OptionRows = {
  'self-check': {
    meaning:
      '`warn`: Quarry looks at its challenge responses itself, through the public name, and says in the log and in a later error what it saw; `require`: the CA is not asked before they can be seen; `off`. With `warn` no order waits for a look: one that ends later tells the log alone',
    otherwise: inCode(MODE),
  },
  'self-check-port': { meaning: 'where names are served over HTTP', otherwise: inCode(PORT) },
  'self-check-resolver': {
    meaning: 'DNS server that Quarry looks names up with, `address` or `address:port`',
    otherwise: "the system's",
  },
  'self-check-network': {
    meaning: 'CIDR of addresses that are not public, and that names may lead to all the same',
    otherwise: 'none',
  },
  'self-check-proxy': {
    meaning:
      '`http://user:password@host:port`: a proxy that the self-check goes through; it looks the names up itself, and should lead to public addresses alone',
    otherwise: 'none, as the CA comes without one',
  },
};

export function parseSelfCheck(section: SectionReader): SelfCheckConfig {
  const proxy = section.secret('self-check-proxy', parseProxy, proxySecret);
  return {
    ...(proxy !== undefined && proxy !== 'none' && { proxy }),
    mode: section.one('self-check', parseMode) ?? MODE,
    port: section.one('self-check-port', wholeNumber(1, 65_535)) ?? PORT,
    resolvers: section.many('self-check-resolver', parseDnsAddress),
    networks: section.many('self-check-network', parseCidr),
  };
}

const modes = ['off', 'warn', 'require'] as const;

const parseMode: Parse<SelfCheckConfig['mode']> = (text, fail) =>
  modes.find(mode => mode === text.toLowerCase()) ?? fail(`is none of ${modes.join(', ')}`);

const DEADLINE = 5_000;

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
  config: SelfCheckConfig,
  log: Log,
  isPresented: (response: ChallengeResponse) => Promise<boolean> = async () => true,
): SelfCheck {
  const look = openHttpLook({ ...config, deadline: DEADLINE });
  return async (response, signal) => {
    const { identifier, token, keyAuthorization } = response;
    const url = toHttp01Url(identifier, token);
    const looked = await look(url, signal);
    const { visited } = looked;
    if ('status' in looked) {
      if (looked.status === 200 && looked.body.trimEnd() === keyAuthorization) return;
      if (!(await isPresented(response))) return;
    }
    const fault = 'fault' in looked ? `itself: ${looked.fault}` : describeSeen(looked.status, visited);
    if (!visited.some(isReserved)) return `Quarry looked at http://${url.host} ${fault}`;
    log.info({ host: url.host, addresses: visited }, `Quarry looked ${fault}`);
    return `Quarry looked at http://${url.host} itself and did not see its response: ${HINT}`;
  };
}

const HINT = 'is /.well-known/acme-challenge/ passed on to a responder there?';

function describeSeen(status: number, visited: readonly string[]): string {
  const saw = status === 200 ? 'another answer than its own' : `status ${status}`;
  return `(${visited.at(-1)}) itself and saw ${saw}: ${HINT}`;
}
