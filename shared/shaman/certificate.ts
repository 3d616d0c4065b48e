import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { saysAccountIsGone } from '../acme/problem.ts';
import { renewalInfoId } from '../acme/renewal-info.ts';
import { readIfThere, writeAtomically } from '../base/atomic-file.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import type { Ca } from '../ca/open-ca.ts';
import { type Certificate, readCertificate } from '../pki/certificate.ts';
import { isSameKey } from '../pki/same-key.ts';
import { askWindow, type WindowMemory } from '../renewal/ask-window.ts';
import {
  type ExplainedWindow,
  ownRandom,
  planRenewal,
  type RenewalFacts,
  type RenewalPlan,
} from '../renewal/renewal-window.ts';
import type { Accounts } from './account.ts';
import { certificateFileOf, certificatePath, type DomainEntry, failToWrite } from './file.ts';
import type { FailureMemory, RenewalMemory } from './memory.ts';
import type { ShamanDomain } from './profile.ts';

type HeldCertificate = {
  /** PEM, as the CA sent it. */
  chain: string;
  leaf: Certificate;
  /** The CA that still knows it, and can be asked about it. */
  ca: Ca | undefined;
};

/**
 * The certificate that `certificate_id` names. Where the CA keeps it no longer, or its account is none of
 * this run's, the one on disk stands in, as nothing is wrong with it; and while the CA is away, where there
 * is another one to order from.
 */
export async function fetchCertificate(
  { orderers, issuerOf, actAs }: Pick<Accounts, 'orderers' | 'issuerOf' | 'actAs'>,
  entry: DomainEntry,
): Promise<HeldCertificate | undefined> {
  const { certificateUrl: url, memory } = entry.domain;
  if (url === undefined) return undefined;
  const { account, ca } = issuerOf(memory.issuedBy);
  if (!account) return readHeld(entry, ca);
  const hasOthers = orderers.length > 1;
  if (hasOthers && (await account.breaker.opened())) return readHeld(entry, ca);
  try {
    return toHeld(await actAs(account, acme => acme.downloadChain(url)), ca);
  } catch (error) {
    if (!(error instanceof IssuanceError)) throw error;
    if (error.code === 'gone' && !saysAccountIsGone(error)) {
      entry.say('warn', `the CA no longer has ${url}`);
      return readHeld(entry, undefined);
    }
    if (!hasOthers) throw error;
    if (error.code === 'unavailable') await account.breaker.failed(describeError(error));
    entry.say('warn', `the certificate on disk stands in for ${url}: ${describeError(error)}`);
    return readHeld(entry, ca);
  }
}

async function readHeld(
  { file, domain }: DomainEntry,
  ca: Ca | undefined,
): Promise<HeldCertificate | undefined> {
  const chain = await readIfThere(certificatePath(file, domain.name));
  return chain === undefined ? undefined : toHeld(chain, ca);
}

export function toHeld(chain: string, ca: Ca | undefined): HeldCertificate {
  try {
    return { chain, leaf: readCertificate(chain), ca };
  } catch (error) {
    throw new IssuanceError('unexpected', 'the certificate is damaged', { cause: error });
  }
}

/** Why a certificate cannot be used with what `shaman.json` and the configuration say now, in a few words. */
export function findMismatch(
  { leaf }: HeldCertificate,
  { identifiers, memory }: Pick<ShamanDomain, 'identifiers' | 'memory'>,
  key: KeyObject,
  { accepts }: Pick<Accounts, 'accepts'>,
): string | undefined {
  if (!accepts({ leaf, issuedBy: memory.issuedBy })) return 'it is of an account that is not ordered from';
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  if (!isSameKey(leaf.publicKey, publicKey)) return 'its key is a new one';
  const missing = identifiers.find(
    ({ type, value }) => !leaf.identifiers.some(one => one.type === type && one.value === value),
  );
  return missing && `${missing.value} is not in it`;
}

/** Writes the certificate where it differs from the file on disk. */
export async function updateCertificateFile(entry: DomainEntry, chain: string): Promise<void> {
  const { name } = entry.domain;
  const path = certificatePath(entry.file, name);
  if ((await readIfThere(path)) === chain) return;
  const mode = await stat(path).then(
    found => found.mode & 0o777,
    () => 0o644,
  );
  await writeAtomically(path, chain, { mode }).catch(failToWrite(path));
  entry.say('info', `wrote ${certificateFileOf(name)}`);
}

/** What decides, beside the CA and the certificate, when a run renews. */
export type RenewalHabits = {
  /** Days before the end, where the CA suggests no time; a third of the life where nothing is set. */
  days: number | undefined;
  /** Whether certificates that are due by days at one moment are spread over a while. */
  spread?: boolean | undefined;
  /** Whether a domain whose last attempts failed is left alone until its backoff is over. */
  patient?: boolean | undefined;
  /** Gets the page by which a CA explains its window for renewal, once for each certificate. */
  explained?: ((names: string[], window: ExplainedWindow) => Promise<void>) | undefined;
};

/**
 * When to renew a certificate: the CA is asked, unless it is too early to ask again, and what comes of it is
 * kept.
 *
 * @returns a plan that takes failed attempts into account only where the run is patient
 */
export async function planDomain(
  entry: DomainEntry,
  certificate: HeldCertificate,
  habits: RenewalHabits,
  signal: AbortSignal,
): Promise<RenewalPlan> {
  const { renewal: before, failures } = entry.domain.memory;
  const asked = await askForInfo(entry, certificate, habits, signal);
  const spread = habits.spread && { spread: true as const };
  const facts: RenewalFacts = {
    life: certificate.leaf,
    info: asked.info,
    days: habits.days,
    random: ownRandom(asked.id),
    ...spread,
  };
  const plan = planRenewal(facts);
  const renewal: RenewalMemory = { ...asked, at: Math.floor(plan.at), why: plan.why, ...spread };
  if (!isDeepStrictEqual(renewal, before)) {
    const when = new Date(plan.at).toISOString();
    if (renewal.at !== before?.at) entry.say('info', `to be renewed at ${when}: ${plan.why}`);
    await entry.change({ memory: { renewal } });
  }
  return failures && habits.patient ? planRenewal({ ...facts, failures }) : plan;
}

/** When to try again where there is no certificate yet. */
export function backoffEnd(failures: FailureMemory): number {
  // The rule is for certificates: as if one had ended with the last attempt, after a life that shortens no
  // wait.
  const life = { notBefore: 0, notAfter: failures.last };
  return planRenewal({ life, info: { none: 'there is none' }, days: 0, failures, random: Math.random() }).at;
}

type Asked = Omit<RenewalMemory, 'at' | 'why' | 'spread'>;

async function askForInfo(
  entry: DomainEntry,
  { chain, leaf, ca }: HeldCertificate,
  { explained }: RenewalHabits,
  signal: AbortSignal,
): Promise<Asked> {
  const id = ca && renewalInfoId(chain);
  if (!id) {
    const own = createHash('sha256').update(chain).digest('hex');
    return { id: own, named: false, info: { none: 'the CA does not know this certificate by name' } };
  }
  const { renewal } = entry.domain.memory;
  const known = toKnown(renewal?.id === id ? renewal : undefined);
  const look = await askWindow(ca.connection, { id, life: leaf }, known, signal);
  if (look.explained) {
    entry.say('warn', `the CA explains when to renew: ${look.explained.explanationUrl}`);
    await explained?.(entry.names, look.explained);
  }
  const { info, askAgain, failures } = look;
  return {
    id,
    named: true,
    info,
    ...(failures > 0 && { askedInVain: failures }),
    ...(askAgain !== undefined && { askAgain: Math.ceil(askAgain) }),
  };
}

function toKnown(kept: RenewalMemory | undefined): WindowMemory {
  if (!kept) return { info: { none: 'the CA was not asked yet' }, askAgain: 0, failures: 0 };
  return { info: kept.info, askAgain: kept.askAgain ?? 0, failures: kept.askedInVain ?? 0 };
}
