import { blockToday } from '../../shared/admission/admit.ts';
import type { Identifier } from '../../shared/base/identifier.ts';
import type { SignRun } from './job.ts';

/** Whether the client of a job may have a name that it has not asked for. */
export const mayHaveToo = ({ parts, job }: SignRun, other: Identifier): boolean =>
  blockToday(parts.blocks, job.data)?.mayHave(other) ?? false;
