import { problemKind } from '../acme/problem.ts';
import { IssuanceError } from '../base/errors.ts';

/** Whether the CA knows no such account any more; of other things it says that they are gone with another problem. */
export const saysAccountIsGone = (error: unknown): boolean =>
  error instanceof IssuanceError && problemKind(error.problem) === 'accountDoesNotExist';
