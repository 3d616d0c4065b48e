import { parseCidr } from '../config/cidr.ts';
import { defaultListeners, type Listener, readListeners } from '../config/listener.ts';
import { wholeNumber } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import type { DnsServer } from '../dns/exchange.ts';
import { parseDnsAddress } from './dns-server.ts';

/** http-01, which the responders answer. */
export type Http01Config = {
  name: string;
  type: 'http01';
  listeners: Listener[];
  selfCheck: SelfCheckConfig;
};

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

/** Stands in where no verification is defined. */
export const implicitVerification: Http01Config = {
  name: 'http01',
  type: 'http01',
  listeners: defaultListeners(1380, '0.0.0.0', '::'),
  selfCheck: { mode: 'warn', port: 80, resolvers: [], networks: [] },
};

export function parseHttp01(section: SectionReader): Http01Config {
  const listeners = readListeners(section, ['listener'], implicitVerification.listeners);
  const selfCheck = parseSelfCheck(section);
  section.finish();
  return { name: section.label, type: 'http01', listeners, selfCheck };
}

function parseSelfCheck(section: SectionReader): SelfCheckConfig {
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
