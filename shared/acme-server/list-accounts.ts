import { type AdmittingBlock, openAdmission } from '../admission/admit.ts';
import type { AuthBlockConfig } from '../admission/auth-section.ts';
import { describeUnbound } from '../admission/refusal.ts';
import type { JudgeToken } from '../admission/token-method.ts';
import { IssuanceError } from '../base/errors.ts';
import type { Store } from '../base/redis.ts';
import { type SealedBinding, toAccountBinding } from './account-binding.ts';
import { accountKeys } from './account-life.ts';
import type { Account, Accounts } from './accounts.ts';

// The accounts of ACME clients, for operators.

/** An account, and what became of it. `seen`: milliseconds since the epoch. */
export type ListedAccount = Account & { seen: number | undefined; certificates: number };

const PART = 500;

/** All accounts, part by part, in no order. Those that come or go meanwhile may be there or not. */
export async function* listAccounts(
  { redis, prefix }: Store,
  accounts: Pick<Accounts, 'parse'>,
): AsyncGenerator<ListedAccount[]> {
  const keys = accountKeys(prefix);
  const listed = new Set<string>();

  async function read(ids: readonly string[]): Promise<ListedAccount[]> {
    const uses = Promise.all(ids.map(id => redis.hmget(keys.use(id), 'seen', 'certificates')));
    const records = await redis.mget(...ids.map(keys.record));
    const known = await uses;
    return ids.flatMap((id, at) => {
      const account = accounts.parse(id, records[at] ?? '');
      const [seen, certificates] = known[at] ?? [];
      return account
        ? { ...account, seen: seen ? Number(seen) : undefined, certificates: Number(certificates) }
        : [];
    });
  }

  for (let cursor: string | undefined; cursor !== '0'; ) {
    const [next, found] = await redis.zscan(keys.all, cursor ?? '0', 'COUNT', PART);
    const ids: string[] = [];
    for (const [at, id] of found.entries()) {
      if (at % 2 === 1 || listed.has(id)) continue; // scores stand between ids, and Redis may give one twice
      listed.add(id);
      ids.push(id);
    }
    if (ids.length > 0) yield await read(ids);
    cursor = next;
  }
}

/** By what a binding is good: the block, and how that knows it; or why it is not any more. */
export type BoundBy = { block: string; by: string } | { fault: string };

/**
 * Judges bindings by the configuration of today, wherever their clients come from.
 *
 * @param judgeToken as the intake has it
 */
export function openJudgeBinding(auth: readonly AuthBlockConfig[], judgeToken: JudgeToken) {
  // What else a block demands is of a client, of whom nothing is known here.
  const byKeys = auth.map(block => ({ ...block, ips: [], clientCerts: [], all: false }));
  const admission = openAdmission(byKeys, { judgeToken });
  return async (binding: SealedBinding): Promise<BoundBy> => {
    const request = { ...NOBODY, binding: toAccountBinding(binding) };
    try {
      const blocks = await admission.verified(admission.possible(request), request, undefined);
      const { name, by } = blocks[0] as AdmittingBlock;
      return { block: name, by };
    } catch (error) {
      if (!(error instanceof IssuanceError && error.code === 'denied')) throw error;
      return { fault: error.message === UNBOUND ? 'no auth block or token has its key' : error.message };
    }
  };
}

const NOBODY = { clientIp: '', method: 'POST', target: '', claim: undefined };
const UNBOUND = describeUnbound(NOBODY);
