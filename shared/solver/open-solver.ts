import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/redis.ts';
import { openChallengeResponses } from './challenge-responses.ts';
import { openChalltestsrvSolver } from './challtestsrv.ts';
import { openDnsPersistSolver } from './dns-persist.ts';
import { openDnsRecords } from './dns-records.ts';
import { openDns01ServerSolver } from './dns01-server.ts';
import { openDnsUpdateSolver } from './dns01-update.ts';
import { openHttp01Solver } from './http01.ts';
import { openProgramSolver } from './program.ts';
import type { Solver } from './solver.ts';
import { openTlsAlpnResponses } from './tls-alpn-responses.ts';
import { openTlsAlpn01Solver } from './tlsalpn01.ts';
import type { VerificationConfig } from './verification-section.ts';

/** What solvers may need, whatever their kind. */
export type SolverParts = { store: Store; clock: Clock; log: Log };

/** Opens every configured verification, by name. */
export function openSolvers(configs: Iterable<VerificationConfig>, parts: SolverParts): Map<string, Solver> {
  return new Map([...configs].map(config => [config.name, openSolver(config, parts)]));
}

function openSolver(config: VerificationConfig, { store, clock, log }: SolverParts): Solver {
  switch (config.type) {
    case 'http01':
      return openHttp01Solver(config.name, config.selfCheck, openChallengeResponses(store));
    case 'dns01-challtestsrv':
      return openChalltestsrvSolver(config, store);
    case 'dns01-dnsUpdate':
      return openDnsUpdateSolver(config, { clock, log });
    case 'dns-persist-01':
      return openDnsPersistSolver(config, clock);
    case 'program':
      return openProgramSolver(config, log);
    case 'dns01-server':
      return openDns01ServerSolver(config, openDnsRecords(store, clock), clock);
    case 'tlsalpn01':
      return openTlsAlpn01Solver(config.name, openTlsAlpnResponses(store, clock));
  }
}
