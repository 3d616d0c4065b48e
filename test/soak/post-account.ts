import { X509Certificate } from 'node:crypto';
import { assertChain } from '../support/chain.ts';
import type { PostRecord } from './client.ts';
import type { Csr } from './csrs.ts';

/** What became of the posts. Lines in lists are for people. */
export type PostAccount = {
  posts: number;
  tries: number;
  /** Tries that were not answered, by the reason. */
  unanswered: Record<string, number>;
  /** Clients that got a certificate, and how many different certificates those were. */
  served: number;
  certificates: number;
  /** How many of the certificates were issued for each account. */
  byAccount: Record<string, number>;
  /** Clients that were refused, by status. */
  refused: Record<string, number>;
  lost: string[];
  broken: string[];
  /** Certificates that are not what was asked for. */
  wrong: string[];
  /** Refusals that nothing explains, and certificates for what had to be refused. */
  unexplained: string[];
  /** CSRs that were given more than one certificate. */
  certifiedTwice: string[];
  /** Answers that should have said when to come back. */
  silent: number;
  /** Seconds from the first try to the end: the median, 95 of 100, and the longest. */
  seconds: { median: number; p95: number; most: number };
  /** The longest time, in seconds, in which somebody waited and nobody got a certificate. */
  standstill: number;
};

/** When something was away without which challenges cannot be answered; `performance.now()`. */
export type Outage = { from: number; to: number };

type Parts = {
  csrs: ReadonlyMap<number, Csr>;
  /** PEM, by the name of the account. */
  roots: ReadonlyMap<string, string>;
  outages: readonly Outage[];
};

export function accountForPosts(records: readonly PostRecord[], parts: Parts): PostAccount {
  const describe = ({ post, trail, requestId, end }: PostRecord) => {
    const told = 'reason' in end ? `: ${end.reason}` : '';
    const names = parts.csrs.get(post.csr)?.names.join(',');
    return `at ${(post.at / 1000).toFixed(1)} s, ${names}, request ${requestId}: ${trail.slice(-12).join(' → ')}${told}`;
  };
  const list = (test: (record: PostRecord) => boolean) => records.filter(test).map(describe);
  const served = records.filter(({ end }) => end.end === 'certificate');
  const leaves = new Map<number, Set<string>>();
  const wrong: string[] = [];
  for (const record of served) {
    const fault = findFault(record, parts);
    if (fault) wrong.push(`${describe(record)}: ${fault}`);
    leaves.set(record.post.csr, (leaves.get(record.post.csr) ?? new Set()).add(leafOf(record)));
  }
  const seconds = served.map(({ startedAt, endedAt }) => (endedAt - startedAt) / 1000).sort((a, b) => a - b);
  const words = records.flatMap(({ trail }) => trail);
  return {
    posts: records.length,
    tries: words.length,
    unanswered: countBy(words.filter(word => !/^(GET )?\d{3}/.test(word))),
    served: served.length,
    certificates: new Set([...leaves.values()].flatMap(set => [...set])).size,
    byAccount: countBy([...new Map(served.map(record => [leafOf(record), accountOf(record)])).values()]),
    refused: countBy(records.flatMap(({ end }) => (end.end === 'refused' ? [`${end.status}`] : []))),
    lost: list(({ end }) => end.end === 'lost'),
    broken: list(({ end }) => end.end === 'broken'),
    wrong,
    unexplained: list(record => !isExplained(record, records, parts)),
    certifiedTwice: [...leaves]
      .filter(([, set]) => set.size > 1)
      .map(([csr]) => `${parts.csrs.get(csr)?.names}`),
    silent: words.filter(word => word.includes('without')).length,
    seconds: { median: at(seconds, 0.5), p95: at(seconds, 0.95), most: at(seconds, 1) },
    standstill: longestStandstill(records) / 1000,
  };
}

/** A certificate that is not for the key and the names, or not from the CA that the answer names. */
function findFault(
  { post, end }: PostRecord,
  { csrs, roots }: Pick<Parts, 'csrs' | 'roots'>,
): string | undefined {
  const csr = csrs.get(post.csr);
  if (end.end !== 'certificate' || !csr) return undefined;
  const rootPem = roots.get(end.account);
  if (rootPem === undefined) return `there is no account "${end.account}"`;
  try {
    assertChain(end.chain, { rootPem, keyPem: csr.keyPem, names: csr.names });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function leafOf({ end }: PostRecord): string {
  return end.end === 'certificate' ? new X509Certificate(end.chain).fingerprint256 : '';
}

const accountOf = ({ end }: PostRecord) => (end.end === 'certificate' ? end.account : '');

/**
 * Names that the CA refuses must be; others only may, while the CA cannot see the answers to its challenges.
 */
function isExplained(
  { post, end, endedAt }: PostRecord,
  records: readonly PostRecord[],
  { csrs, outages }: Pick<Parts, 'csrs' | 'outages'>,
): boolean {
  const csr = csrs.get(post.csr);
  if (csr?.refused) return end.end === 'lost' || (end.end === 'refused' && end.status === 403);
  if (end.end !== 'refused') return true;
  // What was posted before for the same names may have failed then, and is told again.
  const sameNames = records.filter(one => `${csrs.get(one.post.csr)?.names}` === `${csr?.names}`);
  const since = Math.min(...sameNames.map(({ startedAt }) => startedAt));
  return end.status === 421 && outages.some(({ from, to }) => from < endedAt && to > since);
}

/** Milliseconds. */
function longestStandstill(records: readonly PostRecord[]): number {
  const ends = records.flatMap(({ end, endedAt }) => (end.end === 'certificate' ? [endedAt] : []));
  const last = Math.max(...records.map(({ endedAt }) => endedAt));
  let longest = 0;
  let before = 0;
  for (const end of [...ends.sort((a, b) => a - b), last]) {
    const waiting = records.filter(({ startedAt, endedAt }) => startedAt < end && endedAt >= end);
    const since = Math.max(before, Math.min(...waiting.map(({ startedAt }) => startedAt)));
    longest = Math.max(longest, end - since);
    before = end;
  }
  return longest;
}

function countBy(words: readonly string[]): Record<string, number> {
  const groups = Map.groupBy(words, word => word);
  return Object.fromEntries([...groups].map(([word, all]) => [word, all.length]).sort());
}

const at = (sorted: readonly number[], share: number) => sorted[Math.ceil((sorted.length - 1) * share)] ?? 0;
