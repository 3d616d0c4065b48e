import type { AdmittingBlock } from './admit.ts';
import { refuseUsed } from './refusal.ts';

/**
 * The blocks without those whose one-time token was used for another CSR.
 *
 * @param csr its digest
 * @throws IssuanceError `denied` where none is left
 */
export function dropUsed(blocks: AdmittingBlock[], csr: { digest: string }): AdmittingBlock[] {
  const left = blocks.filter(({ once }) => !once?.used || once.used.csr === csr.digest);
  return left.length > 0 ? left : refuseUsed();
}
