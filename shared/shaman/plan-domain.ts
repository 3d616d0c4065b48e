import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { renewalInfoId } from '../acme/renewal-info.ts';
import { askWindow, type WindowMemory } from '../renewal/ask-window.ts';
import {
  type ExplainedWindow,
  ownRandom,
  planRenewal,
  type RenewalFacts,
  type RenewalPlan,
} from '../renewal/renewal-window.ts';
import type { HeldCertificate } from './certificate.ts';
import type { FailureMemory, RenewalMemory } from './memory.ts';
import type { ShamanDomain } from './profile.ts';
import type { DomainEntry, ShamanRun } from './run.ts';

/**
 * When to renew a certificate: the CA is asked, unless it is too early to ask again, and what comes of it is kept.
 *
 * @returns a plan that takes attempts in vain into account only where the run is patient
 */
export async function planDomain(
  run: ShamanRun,
  entry: DomainEntry,
  certificate: HeldCertificate,
): Promise<RenewalPlan> {
  const { domain } = entry;
  const asked = await askForInfo(run, certificate, domain);
  const plan = planRenewal(factsOf(run, certificate, asked));
  const renewal: RenewalMemory = { ...asked, at: Math.floor(plan.at), why: plan.why, ...spread(run) };
  if (!isDeepStrictEqual(renewal, domain.memory.renewal)) {
    if (renewal.at !== domain.memory.renewal?.at) {
      const when = new Date(plan.at).toISOString();
      run.log.info({ domain: domain.name }, `${domain.name}: to be renewed at ${when}: ${plan.why}`);
    }
    await entry.change({ memory: { renewal } });
  }
  const { failures } = domain.memory;
  return failures && run.patient ? planRenewal({ ...factsOf(run, certificate, asked), failures }) : plan;
}

/** When to try again where there is no certificate yet. */
export function retryTime(failures: FailureMemory): number {
  // The rule is for certificates: as if one had ended with the last attempt, after a life that shortens no wait.
  const life = { notBefore: 0, notAfter: failures.last };
  return planRenewal({ life, info: { none: 'there is none' }, days: 0, failures, random: Math.random() }).at;
}

type Asked = Omit<RenewalMemory, 'at' | 'why' | 'spread'>;

function factsOf(run: ShamanRun, { leaf }: HeldCertificate, { id, info }: Asked): RenewalFacts {
  return { life: leaf, info, days: run.profile.renewal, random: ownRandom(id), ...spread(run) };
}

const spread = (run: ShamanRun) => (run.spread ? { spread: true as const } : {});

/** The certificate's name for the CA, or one of our own where it can have none. */
function identify({ chain, known }: HeldCertificate): Pick<Asked, 'id' | 'named'> {
  const id = known ? renewalInfoId(chain) : undefined;
  return id === undefined
    ? { id: createHash('sha256').update(chain).digest('hex'), named: false }
    : { id, named: true };
}

async function askForInfo(
  run: ShamanRun,
  certificate: HeldCertificate,
  domain: Readonly<ShamanDomain>,
): Promise<Asked> {
  const { id, named } = identify(certificate);
  if (!named) return { id, named, info: { none: 'the CA does not know this certificate by name' } };
  const kept = domain.memory.renewal?.id === id ? domain.memory.renewal : undefined;
  const life = certificate.leaf;
  const { info, askAgain, failures, explained } = await askWindow(
    run.connection,
    { id, life },
    toKnown(kept),
    run.signal,
  );
  if (explained) await passOnExplanation(run, domain, explained);
  return {
    id,
    named,
    info,
    ...(failures > 0 && { askedInVain: failures }),
    ...(askAgain !== undefined && { askAgain: Math.ceil(askAgain) }),
  };
}

function toKnown(kept: RenewalMemory | undefined): WindowMemory {
  if (!kept) return { info: { none: 'the CA was not asked yet' }, askAgain: 0, failures: 0 };
  return { info: kept.info, askAgain: kept.askAgain ?? 0, failures: kept.askedInVain ?? 0 };
}

async function passOnExplanation(
  { log, explained }: ShamanRun,
  { name, identifiers }: Readonly<ShamanDomain>,
  window: ExplainedWindow,
): Promise<void> {
  log.warn({ domain: name }, `${name}: the CA explains when to renew: ${window.explanationUrl}`);
  const names = identifiers.map(({ value }) => value);
  await explained?.(names, window);
}
