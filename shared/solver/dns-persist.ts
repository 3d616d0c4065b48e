import { Resolver } from 'node:dns/promises';
import type { Clock } from '../base/clock.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { canProve } from '../config/challenge-type.ts';
import type { DnsPersistConfig } from '../config/dns-persist.ts';
import { findPersistFault, persistName, toPersistRecord } from './persist-record.ts';
import type { ChallengeResponse, Solver } from './solver.ts';

/** A record stands, or somebody has to publish it: only a DNS server that stumbles is waited for. */
const DEADLINE = 10_000;

/**
 * dns-persist-01: nothing is presented, as the record stands for good. But the CA is not asked before it can be seen, as
 * it counts failed validations.
 */
export function openDnsPersistSolver({ name, resolvers }: DnsPersistConfig, clock: Clock): Solver {
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
        const { values = [], failure } = await lookUpTxt(at, resolvers, signal);
        const fault = failure ?? findPersistFault(values, identifier, persist, clock.now());
        if (fault === undefined) return undefined;
        const { value } = toPersistRecord(identifier, issuer, persist.accountUrl);
        return `${at} TXT: ${fault}; publish "${value}"`;
      },
    },
  };
}

type TxtLookUp = { values?: string[]; failure?: string };

async function lookUpTxt(name: string, servers: string[], signal: AbortSignal): Promise<TxtLookUp> {
  signal.throwIfAborted();
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  if (servers.length > 0) resolver.setServers(servers);
  const cancel = () => resolver.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return { values: (await resolver.resolveTxt(name)).map(strings => strings.join('')) };
  } catch (error) {
    signal.throwIfAborted();
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTFOUND' || code === 'ENODATA') return { values: [] };
    return { failure: `cannot be looked up (${code ?? describeError(error)})` };
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}
