import { readBlockType } from '../config/block-type.ts';
import { inCode, type OptionRows } from '../config/option-rows.ts';
import type { SectionReader } from '../config/section-reader.ts';
import { challtestsrv } from './challtestsrv.ts';
import { dnsPersist } from './dns-persist.ts';
import { dns01Server } from './dns01-server.ts';
import { dnsUpdate } from './dns01-update.ts';
import { http01 } from './http01.ts';
import { program } from './program.ts';
import type { Kind, Solver, SolverParts } from './solver.ts';
import { tlsAlpn01 } from './tlsalpn01.ts';

/**
 * The one list of all kinds of solvers, by `type` as it is written. A new one needs a file of its own, a line
 * here, its page beside its file, and a row of the table in services/docs/proofs.md.
 */
export const kinds = {
  http01,
  'dns01-challtestsrv': challtestsrv,
  'dns01-dnsUpdate': dnsUpdate,
  rfc2136: dnsUpdate,
  'dns-persist-01': dnsPersist,
  program,
  'dns01-server': dns01Server,
  tlsalpn01: tlsAlpn01,
};

/** How challenges are answered: a `[verification]` block, read. */
export type VerificationConfig = ReturnType<(typeof kinds)[keyof typeof kinds]['parse']>;

/** Of `[verification "name"]` itself. */
export const verificationRows: OptionRows = {
  type: {
    meaning: `the first option, and the [way to prove names](services/docs/proofs.md): ${Object.keys(kinds).map(inCode).join(', ')}; the options of each are on its page`,
    otherwise: 'needed',
  },
};

/** `[verification "name"]` */
export function parseVerification(section: SectionReader): VerificationConfig {
  const types = Object.keys(kinds) as (keyof typeof kinds)[];
  return kinds[readBlockType(section, types)].parse(section);
}

export function kindOf<Config extends VerificationConfig>({ type }: Config): Kind<Config> {
  return kinds[type] as unknown as Kind<Config>;
}

/** Opens every configured verification, by name. */
export function openSolvers(configs: Iterable<VerificationConfig>, parts: SolverParts): Map<string, Solver> {
  return new Map([...configs].map(config => [config.name, kindOf(config).open(config, parts)]));
}

/**
 * Looks for what the verifications need on the machine where they are used, before the first order does.
 *
 * @throws ConfigError for the first that lacks something
 */
export function requireSolvers(configs: Iterable<VerificationConfig>): void {
  for (const config of configs) kindOf(config).require?.(config);
}
