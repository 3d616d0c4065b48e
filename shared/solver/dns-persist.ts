import type { Clock } from '../base/clock.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import type { Ask } from '../dns/query.ts';
import { canProve } from '../pki/identifier.ts';
import type { DnsPersistConfig } from './dns-persist-section.ts';
import { findPersistFault, persistName, toPersistRecord } from './persist-record.ts';
import { openResolver } from './resolver.ts';
import type { ChallengeResponse, Solver } from './solver.ts';

/** A record stands, or somebody has to publish it: only a DNS server that stumbles is waited for. */
const DEADLINE = 10_000;
const RESOLVER_TIMEOUT = 5_000;

/**
 * dns-persist-01: nothing is presented, as the record stands for good. But the CA is not asked before it can be seen, as
 * it counts failed validations.
 */
export function openDnsPersistSolver({ name, resolvers }: DnsPersistConfig, clock: Clock): Solver {
  const ask = openResolver(resolvers, RESOLVER_TIMEOUT);
  return {
    name,
    challengeType: 'dns-persist-01',
    canProve: identifier => canProve('dns-persist-01', identifier),
    present: async () => {},
    withdraw: async () => {},
    propagation: {
      deadline: DEADLINE,
      async missing({ identifier, persist }: ChallengeResponse, signal: AbortSignal) {
        const [issuer] = persist?.issuerDomainNames ?? [];
        if (!persist || issuer === undefined) throw new IssuanceError('unexpected', 'the CA names no issuer');
        const at = persistName(identifier);
        const { values = [], failure } = await lookUpTxt(at, ask, signal);
        if (failure !== undefined) return `${at} TXT cannot be looked up: ${failure}`;
        const fault = findPersistFault(values, identifier, persist, clock.now());
        if (fault === undefined) return undefined;
        const { value } = toPersistRecord(identifier, issuer, persist.accountUrl);
        return `${at} TXT: ${fault}; publish "${value}"`;
      },
    },
  };
}

/** Behind a CNAME too, as a CA looks. */
async function lookUpTxt(
  name: string,
  ask: Ask,
  signal: AbortSignal,
): Promise<{ values?: string[]; failure?: string }> {
  try {
    const { answers, rcode } = await ask(name, 'TXT', signal);
    if (rcode !== 'NOERROR' && rcode !== 'NXDOMAIN') return { failure: `the DNS server answers ${rcode}` };
    return { values: answers.flatMap(record => (record.type === 'TXT' ? [record.value] : [])) };
  } catch (error) {
    signal.throwIfAborted();
    return { failure: describeError(error) };
  }
}
