import type { AdmissionMethod, Verdict } from './methods.ts';
import { refuseUsed } from './refusal.ts';
import type { OneCertificate, ShownToken } from './token-types.ts';

/** Says whose token it is, and to what it narrows the block of this name. */
export type JudgeToken = (token: ShownToken, block: string) => Promise<Verdict>;

/** `token = yes`: clients that have a token for the block. */
export function tokenMethod(block: string, judge: JudgeToken): AdmissionMethod {
  return {
    possible: ({ token }) => token !== undefined,
    holds: ({ token }) => (token ? judge(token, block) : undefined),
  };
}

/**
 * The blocks without those whose one-time token was used for another CSR.
 *
 * @param csr its digest
 * @throws IssuanceError `denied` where none is left
 */
export function dropUsed<Block extends { once?: OneCertificate }>(
  blocks: Block[],
  csr: { digest: string },
): Block[] {
  const left = blocks.filter(({ once }) => !once?.used || once.used.csr === csr.digest);
  return left.length > 0 ? left : refuseUsed();
}
