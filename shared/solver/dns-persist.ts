import { describeError, IssuanceError } from '../base/errors.ts';
import { canProve, isDomainName } from '../base/identifier.ts';
import { inCode } from '../config/option-rows.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import type { DnsServer } from '../dns/exchange.ts';
import type { Ask } from '../dns/query.ts';
import { parseDnsAddress } from './dns-server.ts';
import { findPersistFault, persistName, toPersistRecord } from './persist-record.ts';
import { openResolver } from './resolver.ts';
import type { ChallengeResponse, Kind, Solver, SolverParts } from './solver.ts';

/** What `draft` has to say: the one version that Quarry speaks. */
const DRAFT = '01';

/** dns-persist-01: records that stand in the DNS for good (draft-ietf-acme-dns-persist). */
export const dnsPersist: Kind<DnsPersistConfig> = {
  rows: {
    draft: { meaning: `${inCode(DRAFT)}, the version of the draft`, otherwise: 'needed' },
    issuer: {
      meaning: 'what the CA calls itself, for the records that `quarry check` prints',
      otherwise: "the first of the CA's `caaIdentities`, for which the CA is asked",
    },
    resolver: {
      meaning: 'DNS server that Quarry looks with, `address` or `address:port`',
      otherwise: "the system's",
    },
  },
  parse: parseDnsPersist,
  open: openDnsPersistSolver,
};

export type DnsPersistConfig = {
  name: string;
  type: 'dns-persist-01';
  challenge: 'dns-persist-01';
  /** What the CA calls itself in the records; where absent its directory is asked. */
  issuer?: string;
  /** DNS servers that look; the system's where empty. */
  resolvers: DnsServer[];
};

function parseDnsPersist(section: SectionReader): DnsPersistConfig {
  const draft = section.one('draft', parseDraft);
  const issuer = section.one('issuer', parseIssuer);
  const resolvers = section.many('resolver', parseDnsAddress);
  section.finish();
  if (!draft) section.fail(`is missing: ${explanation}`, 'draft');
  return {
    name: section.label,
    type: 'dns-persist-01',
    challenge: 'dns-persist-01',
    ...(issuer && { issuer }),
    resolvers,
  };
}

const explanation = `dns-persist-01 is a draft that still moves; write draft = ${DRAFT} to use it as draft-ietf-acme-dns-persist-${DRAFT} has it`;

const parseDraft: Parse<true> = (text, fail) => text === DRAFT || fail(`is not ${DRAFT}: ${explanation}`);

const parseIssuer: Parse<string> = (text, fail) =>
  isDomainName(text) ? text : fail('is not a domain name in lower case');

/** A record stands, or somebody has to publish it: only a DNS server that stumbles is waited for. */
const DEADLINE = 10_000;
const RESOLVER_TIMEOUT = 5_000;

/**
 * dns-persist-01: nothing is presented, as the record stands for good. But the CA is not asked before it can
 * be seen, as it counts failed validations.
 */
export function openDnsPersistSolver(
  { name, resolvers }: DnsPersistConfig,
  { clock }: Pick<SolverParts, 'clock'>,
): Solver {
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
