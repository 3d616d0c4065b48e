import { readBlockType } from '../config/block-type.ts';
import type { SectionReader } from '../config/section-reader.ts';
import type { ChallengeType } from '../pki/identifier.ts';
import { type ChalltestsrvConfig, parseChalltestsrv } from './challtestsrv-section.ts';
import { type DnsPersistConfig, parseDnsPersist } from './dns-persist-section.ts';
import { type Dns01ServerConfig, parseDns01Server } from './dns01-server-section.ts';
import { type DnsUpdateConfig, parseDnsUpdate } from './dns01-update-section.ts';
import { type Http01Config, implicitVerification, parseHttp01 } from './http01-section.ts';
import { type ProgramConfig, parseProgram } from './program-section.ts';
import { parseTlsAlpn01, type TlsAlpn01Config } from './tlsalpn01-section.ts';

/** How challenges are answered; each kind has a file of its own beside this one. */
export type VerificationConfig =
  | ChalltestsrvConfig
  | DnsPersistConfig
  | Dns01ServerConfig
  | DnsUpdateConfig
  | Http01Config
  | ProgramConfig
  | TlsAlpn01Config;

type Kind = { challenge(config: never): ChallengeType; parse(section: SectionReader): VerificationConfig };

/** By `type`, as it is written. */
const kinds = {
  http01: { challenge: () => 'http-01', parse: parseHttp01 },
  'dns01-challtestsrv': { challenge: () => 'dns-01', parse: parseChalltestsrv },
  'dns01-dnsUpdate': { challenge: () => 'dns-01', parse: parseDnsUpdate },
  rfc2136: { challenge: () => 'dns-01', parse: parseDnsUpdate },
  'dns-persist-01': { challenge: () => 'dns-persist-01', parse: parseDnsPersist },
  program: { challenge: ({ challenge }: ProgramConfig) => challenge, parse: parseProgram },
  'dns01-server': { challenge: () => 'dns-01', parse: parseDns01Server },
  tlsalpn01: { challenge: () => 'tls-alpn-01', parse: parseTlsAlpn01 },
} satisfies Record<string, Kind>;

/** `[verification "name"]` */
export function parseVerification(section: SectionReader): VerificationConfig {
  const types = Object.keys(kinds) as (keyof typeof kinds)[];
  return kinds[readBlockType(section, types, implicitVerification)].parse(section);
}

export function challengeTypeOf(config: VerificationConfig): ChallengeType {
  const { challenge }: { challenge(config: never): ChallengeType } = kinds[config.type];
  return challenge(config as never);
}
