import type { SignJobData, SignRecords } from '../../shared/queue/sign-records.ts';

/** Keys of what the job's one-time token is used for, which it is not where the job fails. */
export const tokenOf = (records: Pick<SignRecords, 'tokenUse'>, { spends }: SignJobData): string[] =>
  spends === undefined ? [] : [records.tokenUse(spends)];
