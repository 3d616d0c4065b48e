import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { readIfThere } from '../base/atomic-file.ts';
import { readCertificate } from '../pki/certificate.ts';
import type { CertificateLife } from '../pki/life.ts';
import { ownRandom, planRenewal, type RenewalFacts, type RenewalPlan } from '../renewal/renewal-window.ts';
import type { IssuedBy } from '../storage/storage.ts';
import { certificatePath, openShamanFile, type ShamanFile } from './file.ts';
import type { FailureMemory } from './memory.ts';
import type { ShamanDomain } from './profile.ts';
import { findUndeployed } from './programs.ts';

/** What is known of a domain from the files alone. Times in milliseconds since the epoch. */
export type DomainFacts = {
  name: string;
  /** All that its certificate is for. */
  names: string[];
  /** Of the certificate on disk; absent where there is none. */
  certificate?: {
    /** Differs between it and its successor: its `renewalInfoId` where `named`. */
    id: string;
    named: boolean;
    life: CertificateLife;
    info: RenewalFacts['info'];
    /** Which of Quarry's accounts issued it; absent: the profile's own. */
    issuedBy?: IssuedBy | undefined;
    /** When a run asks the CA for renewal information again, at the earliest. */
    askAgain?: number | undefined;
  };
  /** When it is to be renewed and why then; absent where there is no certificate. */
  plan?: RenewalPlan;
  /** Failed attempts since the certificate was issued. */
  failures?: FailureMemory | undefined;
  /** The order that is under way. */
  orderUrl?: string | undefined;
  /** Whether `deploy` has still to succeed for the certificate on disk. */
  undeployed: boolean;
};

/**
 * Tells of every domain in a directory; reads files alone, and changes nothing.
 *
 * @throws ConfigError when `shaman.json` cannot be read or used
 */
export async function describeShaman(directory: string): Promise<DomainFacts[]> {
  const file = openShamanFile(resolve(directory));
  const profile = await file.read();
  const facts: DomainFacts[] = [];
  // One after the other: thousands of files at once are more than a process may open.
  for (const domain of profile.domains) facts.push(await describeDomain(file, profile.renewal, domain));
  return facts;
}

export async function describeDomain(
  file: ShamanFile,
  days: number | undefined,
  domain: Readonly<ShamanDomain>,
): Promise<DomainFacts> {
  const { name, identifiers, memory, orderUrl } = domain;
  const { failures } = memory;
  const facts = {
    name,
    names: identifiers.map(({ value }) => value),
    failures,
    orderUrl,
    undeployed: (await findUndeployed(file, domain)) !== undefined,
  };
  const held = await readHeld(file, name);
  if (!held) return facts;
  const unasked = {
    id: held.id,
    named: false,
    info: { none: 'the CA was not asked yet' },
    askAgain: undefined,
  };
  const { id, named, info, askAgain } = memory.renewal ?? unasked;
  const spread = memory.renewal?.spread ?? false;
  const plan = planRenewal({
    life: held.life,
    info,
    days,
    spread,
    random: ownRandom(id),
    ...(failures && { failures }),
  });
  return {
    ...facts,
    certificate: { id, named, life: held.life, info, issuedBy: memory.issuedBy, askAgain },
    plan,
  };
}

/** A file that is damaged is as good as none. */
async function readHeld(
  file: Pick<ShamanFile, 'path'>,
  name: string,
): Promise<{ id: string; life: CertificateLife } | undefined> {
  const chain = await readIfThere(certificatePath(file, name));
  if (chain === undefined) return undefined;
  try {
    const { notBefore, notAfter } = readCertificate(chain);
    return { id: createHash('sha256').update(chain).digest('hex'), life: { notBefore, notAfter } };
  } catch {
    return undefined;
  }
}
