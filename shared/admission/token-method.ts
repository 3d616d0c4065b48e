import type { AdmissionMethod, Verdict } from './methods.ts';
import type { ShownToken } from './token-types.ts';

/** Says whose token it is, and to what it narrows the block of this name. */
export type JudgeToken = (token: ShownToken, block: string) => Promise<Verdict>;

/** `token = yes`: clients that have a token for the block. */
export function tokenMethod(block: string, judge: JudgeToken): AdmissionMethod {
  return {
    possible: ({ token }) => token !== undefined,
    holds: ({ token }) => (token ? judge(token, block) : undefined),
  };
}
