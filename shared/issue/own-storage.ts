import type { Admission, AdmittingBlock } from '../admission/admit.ts';
import type { Identifier } from '../base/identifier.ts';
import { type CsrText, parseCsr } from '../pki/csr.ts';

/**
 * Which of several storages counts for a CSR: that of the block which would order. Another one, which may
 * hang, says nothing of it.
 *
 * @returns its name; `undefined` where the CSR is none that could be ordered now, but may have been once
 */
export function openOwnStorage(
  admission: Pick<Admission, 'find'>,
): (blocks: AdmittingBlock[], csr: CsrText) => string | undefined {
  /** The names of CSRs, which are posted again and again. */
  const known = new WeakMap<CsrText, Identifier[]>();
  return (blocks, csr) => {
    try {
      const names = known.get(csr) ?? parseCsr(csr.der).identifiers;
      known.set(csr, names);
      return admission.find(blocks, names)?.storage;
    } catch {
      return undefined;
    }
  };
}
