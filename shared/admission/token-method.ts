import type { AccountBinding, AdmissionMethod, AdmissionRequest, Verdict } from './methods.ts';
import { describeUnbound, refuseUsed } from './refusal.ts';
import { isTokenDigest } from './token-record.ts';
import type { OneCertificate, ShownToken } from './token-types.ts';

/**
 * Says whose token it is, or by whose an account is bound, and to what it narrows the block of this name;
 * `undefined` of a binding that is by no token.
 */
export type JudgeToken = (shown: ShownToken | AccountBinding, block: string) => Promise<Verdict>;

/** `token = yes`: clients that have a token for the block, or whose account is bound by one. */
export function tokenMethod(block: string, judge: JudgeToken): AdmissionMethod {
  const isBound = ({ binding }: AdmissionRequest) => binding !== undefined && isTokenDigest(binding.kid);
  return {
    possible: request => request.token !== undefined || isBound(request),
    async holds(request) {
      const { token, binding } = request;
      if (token) return judge(token, block);
      if (!binding) return undefined;
      const verdict = (await judge(binding, block)) ?? { refused: describeUnbound(request) };
      return 'refused' in verdict ? verdict : { ...verdict, bound: true };
    },
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
