import { createSecretKey } from 'node:crypto';
import { toName } from '../../shared/base/identifier.ts';
import type { DnsServer } from '../../shared/dns/exchange.ts';
import type { TsigAlgorithm, TsigKey } from '../../shared/dns/tsig.ts';
import type { DnsUpdateConfig } from '../../shared/solver/dns01-update.ts';
import type { BindKey } from './bind.ts';

export function toTsigKey({ name, algorithm, secret }: BindKey): TsigKey {
  return {
    name: toName(name),
    algorithm: algorithm as TsigAlgorithm,
    secret: createSecretKey(Buffer.from(secret, 'base64')),
  };
}

/** A verification that updates this server, and asks nobody else. */
export function updateConfig(
  { host, port }: DnsServer,
  { key, ...more }: Partial<Omit<DnsUpdateConfig, 'key'>> & { key?: BindKey } = {},
): DnsUpdateConfig {
  const server = { host, port };
  return {
    challenge: 'dns-01',
    ...{ name: 'dns', type: 'dns01-dnsUpdate', servers: [server], ttl: 5, timeout: 60_000, zones: [] },
    ...{ propagation: 10_000, propagationServers: [], resolvers: [server] },
    ...(key && { key: toTsigKey(key) }),
    ...more,
  };
}
