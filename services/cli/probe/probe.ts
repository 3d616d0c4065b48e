import { pino } from 'pino';
import { type Clock, systemClock } from '../../../shared/base/clock.ts';
import { describeError } from '../../../shared/base/errors.ts';
import { describeSection } from '../../../shared/config/config-error.ts';
import type { Config } from '../../../shared/setup/load-config.ts';
import type { DnsPersistConfig } from '../../../shared/solver/dns-persist-section.ts';
import { toDns01Record } from '../../../shared/solver/dns01-record.ts';
import { findPlace } from '../../../shared/solver/dns01-server.ts';
import type { Dns01ServerConfig } from '../../../shared/solver/dns01-server-section.ts';
import { openSolvers } from '../../../shared/solver/open-solver.ts';
import { openResolver } from '../../../shared/solver/resolver.ts';
import type { ChallengeResponse, Solver } from '../../../shared/solver/solver.ts';
import type { VerificationConfig } from '../../../shared/solver/verification-section.ts';
import { reachFleetRedis } from '../fleet-redis.ts';
import { accountsOf, findPersistParties, namesToPublish } from '../persist-records.ts';
import { lookDns } from './look-dns.ts';
import { lookHttp01 } from './look-http01.ts';
import { lookTlsAlpn } from './look-tls-alpn.ts';
import { findTestName, newTestResponse, nowhere } from './test-response.ts';
import { tryListeners } from './try-listeners.ts';
import { trySolver } from './try-solver.ts';

/** Besides what a solver's own deadline allows. */
const PATIENCE = 90_000;
const RESOLVER_TIMEOUT = 5_000;

/**
 * `quarry check --probe`: tries each verification out, without a CA, and writes a line for each.
 *
 * @throws Error when one failed
 */
export async function probe(config: Config, write: (text: string) => void): Promise<void> {
  const verifications = [...config.verifications.values()];
  using reached = await reachFleetRedis(config.redis);
  const tries = await Promise.all(verifications.map(verification => probeOne(verification, config, reached)));
  for (const { line } of tries) write(`${line}\n`);
  const failed = tries.filter(({ failed }) => failed).length;
  if (failed > 0) throw new Error(`${failed} of ${tries.length} verifications failed`);
}

type Reached = Awaited<ReturnType<typeof reachFleetRedis>>;

const needRedis: VerificationConfig['type'][] = ['http01', 'tlsalpn01', 'dns01-server', 'dns01-challtestsrv'];

async function probeOne(verification: VerificationConfig, config: Config, { store, fault }: Reached) {
  const { name, type } = verification;
  const warnings: string[] = [];
  const log = pino({ level: 'warn' }, { write: line => void warnings.push(toLine(line)) });
  const parts = { store, clock: systemClock, log };
  const solver = openSolvers([verification], parts).get(name) as Solver;
  const said = (how: string, what: string) =>
    `${describeSection({ name: 'verification', label: name })} ${type}: ${how}${what}`;
  try {
    if (fault !== undefined && needRedis.includes(type)) throw new Error(fault);
    const what = await tryOut(verification, config, solver);
    if (warnings.length > 0) throw new Error(warnings.join('; '));
    return { failed: false, line: said('', what) };
  } catch (error) {
    return { failed: true, line: said('FAILED: ', describeError(error)) };
  }
}

async function tryOut(verification: VerificationConfig, config: Config, solver: Solver): Promise<string> {
  const signal = AbortSignal.timeout(PATIENCE + (solver.propagation?.deadline ?? 0));
  const parts = { solver, clock: systemClock, signal };
  const response = newTestResponse(findTestName(verification, config) ?? nowhere);
  const { identifier } = response;
  switch (verification.type) {
    case 'http01':
      return trySolver(parts, response, () =>
        tryListeners(verification.listeners, lookHttp01, response, signal),
      );
    case 'tlsalpn01':
      return trySolver(parts, response, () =>
        tryListeners(verification.listeners, lookTlsAlpn, response, signal),
      );
    case 'dns01-server':
      return tryZone(verification, parts, response);
    case 'dns-persist-01':
      return tryRecords(verification, config, solver, signal);
    case 'dns01-challtestsrv':
      return trySolver(parts, response, async () => `${describeRecord(response)} was set and cleared`);
    case 'dns01-dnsUpdate':
      if (identifier === nowhere) return nothingToTry;
      return trySolver(
        parts,
        response,
        async () => `${describeRecord(response)} was added${solver.propagation ? ', seen' : ''} and removed`,
      );
    case 'program':
      if (identifier === nowhere) return nothingToTry;
      return trySolver(
        parts,
        response,
        async () =>
          `ran with a test token for ${identifier.value}${verification.cleanup ? ', and cleaned up' : ''}`,
      );
  }
}

const nothingToTry = 'not tried, as no auth block writes out a name to try it with';

const describeRecord = (response: ChallengeResponse) => `a test record ${toDns01Record(response).name}`;

/** Also follows the name's own CNAME; where there is no name, one in the first zone is as good. */
async function tryZone(
  verification: Dns01ServerConfig,
  parts: { solver: Solver; clock: Clock; signal: AbortSignal },
  response: ChallengeResponse,
): Promise<string> {
  const [zone] = verification.zones;
  const inZone = response.identifier === nowhere && zone !== undefined;
  const tried = inZone ? newTestResponse({ type: 'dns', value: zone }) : response;
  const resolve = openResolver(verification.resolvers, RESOLVER_TIMEOUT);
  return trySolver(parts, tried, async () => {
    const place = await findPlace(toDns01Record(tried).name, verification, resolve, parts.signal);
    return tryListeners(verification.listeners, lookDns(place.name), tried, parts.signal);
  });
}

/** Nothing can be presented here: what has to be published is looked for. */
async function tryRecords(
  verification: DnsPersistConfig,
  config: Config,
  solver: Solver,
  signal: AbortSignal,
): Promise<string> {
  const seen = new Set<string>();
  for (const account of accountsOf(verification.name, config)) {
    const { accountUrl, issuer, gaps } = await findPersistParties(verification, account);
    if (accountUrl === undefined || issuer === undefined) throw new Error(gaps.join('; '));
    const persist = { accountUrl, issuerDomainNames: [issuer] };
    for (const value of namesToPublish(verification.name, account.name, config).names) {
      const response = newTestResponse({ type: 'dns', value });
      await trySolver({ solver, clock: systemClock, signal }, { ...response, persist }, async () => {});
      seen.add(value);
    }
  }
  return seen.size > 0 ? `the records of ${[...seen].join(', ')} stand` : nothingToTry;
}

function toLine(line: string): string {
  const { msg, reason } = JSON.parse(line) as { msg: string; reason?: string };
  return reason === undefined ? msg : `${msg}: ${reason}`;
}
