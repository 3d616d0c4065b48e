import { pino } from 'pino';
import { type Clock, systemClock } from '../../../shared/base/basics.ts';
import { describeError } from '../../../shared/base/errors.ts';
import type { Store } from '../../../shared/base/redis.ts';
import { describeSection } from '../../../shared/config/config-error.ts';
import type { Listener } from '../../../shared/config/listener.ts';
import type { Config } from '../../../shared/setup/load-config.ts';
import type { DnsPersistConfig } from '../../../shared/solver/dns-persist.ts';
import { toDns01Record } from '../../../shared/solver/dns01-record.ts';
import { type Dns01ServerConfig, findPlace } from '../../../shared/solver/dns01-server.ts';
import { kindOf, type VerificationConfig } from '../../../shared/solver/kinds.ts';
import { openResolver } from '../../../shared/solver/resolver.ts';
import type { ChallengeResponse, Solver } from '../../../shared/solver/solver.ts';
import { reachFleetRedis } from '../fleet-redis.ts';
import { accountsOf, findPersistParties, isPersistent, namesToPublish } from '../persist-records.ts';
import { findTestName, newTestResponse, nowhere } from './test-response.ts';
import { type Look, lookDns, lookHttp01, lookTlsAlpn, tryListeners } from './try-listeners.ts';

/** Besides what a solver's own deadline allows. */
const PATIENCE = 90_000;
const RESOLVER_TIMEOUT = 5_000;
const LOOK_AGAIN = 500;
const LAST_STEP = 30_000;

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

async function probeOne(verification: VerificationConfig, config: Config, { store, clock, fault }: Reached) {
  const { name, type } = verification;
  const warnings: string[] = [];
  const parts = {
    /** Only a kind that keeps something in Redis asks for it. */
    get store(): Store {
      if (fault !== undefined) throw new Error(fault);
      return store;
    },
    clock,
    log: pino({ level: 'warn' }, { write: line => void warnings.push(toLine(line)) }),
  };
  const said = (how: string, what: string) =>
    `${describeSection({ name: 'verification', label: name })} ${type}: ${how}${what}`;
  try {
    const what = await tryOut(verification, config, kindOf(verification).open(verification, parts));
    if (warnings.length > 0) throw new Error(warnings.join('; '));
    return { failed: false, line: said('', what) };
  } catch (error) {
    return { failed: true, line: said('FAILED: ', describeError(error)) };
  }
}

const nothingToTry = 'not tried, as no auth block writes out a name to try it with';

async function tryOut(verification: VerificationConfig, config: Config, solver: Solver): Promise<string> {
  const signal = AbortSignal.timeout(PATIENCE + (solver.propagation?.deadline ?? 0));
  const parts = { solver, clock: systemClock, signal };
  if (isPersistent(verification)) return tryRecords(verification, config, parts);
  const name = findTestName(verification, config);
  const response = newTestResponse(name ?? nowhere);
  if ('listeners' in verification) return tryResponders(verification, parts, response);
  const { trial } = kindOf(verification);
  if (name === undefined && !trial?.takesAnyName) return nothingToTry;
  const usual = `a test response for ${response.identifier.value} was presented and withdrawn`;
  return trySolver(parts, response, async () => trial?.describe(verification, response) ?? usual);
}

type TryParts = { solver: Solver; clock: Clock; signal: AbortSignal };
type Answered = Extract<VerificationConfig, { listeners: Listener[] }>;

function tryResponders(
  verification: Answered,
  parts: TryParts,
  response: ChallengeResponse,
): Promise<string> {
  const tryWith = (look: Look) =>
    trySolver(parts, response, () => tryListeners(verification.listeners, look, response, parts.signal));
  switch (verification.challenge) {
    case 'http-01':
      return tryWith(lookHttp01);
    case 'tls-alpn-01':
      return tryWith(lookTlsAlpn);
    case 'dns-01':
      return tryZone(verification, parts, response);
  }
}

/** Also follows the name's own CNAME; where there is no name, one in the first zone is as good. */
async function tryZone(
  verification: Dns01ServerConfig,
  parts: TryParts,
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
async function tryRecords(verification: DnsPersistConfig, config: Config, parts: TryParts): Promise<string> {
  const seen = new Set<string>();
  for (const account of accountsOf(verification.name, config)) {
    const { accountUrl, issuer, gaps } = await findPersistParties(verification, account);
    if (accountUrl === undefined || issuer === undefined) throw new Error(gaps.join('; '));
    const persist = { accountUrl, issuerDomainNames: [issuer] };
    for (const value of namesToPublish(verification.name, account.name, config).names) {
      const response = newTestResponse({ type: 'dns', value });
      await trySolver(parts, { ...response, persist }, async () => {});
      seen.add(value);
    }
  }
  return seen.size > 0 ? `the records of ${[...seen].join(', ')} stand` : nothingToTry;
}

/**
 * Presents a response, waits until it can be seen, lets `look` see it, and withdraws it whatever happened.
 *
 * @returns what `look` returns
 * @throws Error with what went wrong first, in one line
 */
async function trySolver<T>(
  { solver, clock, signal }: TryParts,
  response: ChallengeResponse,
  look: () => Promise<T>,
): Promise<T> {
  const withdraw = () => solver.withdraw(response, AbortSignal.timeout(LAST_STEP));
  try {
    await solver.present(response, signal);
    await untilSeen(solver, response, clock, signal);
    const seen = await look();
    await withdraw();
    return seen;
  } catch (error) {
    await withdraw().catch(() => {}); // the first failure tells more
    throw error;
  }
}

async function untilSeen(
  { propagation }: Solver,
  response: ChallengeResponse,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  if (!propagation) return;
  const begin = clock.now();
  for (;;) {
    const missing = await propagation.missing(response, signal);
    if (missing === undefined) return;
    if (clock.now() - begin > propagation.deadline) throw new Error(missing);
    await clock.sleep(LOOK_AGAIN, signal);
  }
}

function toLine(line: string): string {
  const { msg, reason } = JSON.parse(line) as { msg: string; reason?: string };
  return reason === undefined ? msg : `${msg}: ${reason}`;
}
