import type { CaAccount } from './ca-account.ts';
import type { HitRecord } from './hits.ts';
import { findLateAnswers } from './late-answers.ts';
import type { LeftOver } from './left-over.ts';
import type { PostAccount } from './post-account.ts';
import type { Logs } from './read-logs.ts';

/** All that is known at the end. */
export type Account = {
  posts: PostAccount;
  ca: CaAccount;
  left: LeftOver;
  logs: Logs;
  /** Lines of the logs that hold a secret. */
  leaks: string[];
  hits: readonly HitRecord[];
  crashes: string[];
  uncleanStops: string[];
  /** Members that cannot work, though everything is there again. */
  notReady: string[];
};

export type Check = {
  name: string;
  /** What was found, one line each; none: it holds. */
  faults: string[];
};

/** Seconds; a kill costs up to 15, and machines on which soaks run are slow. */
const longestStandstill = 30;

/** What must hold after a soak, however hard it was. */
export function check(account: Account): Check[] {
  const { posts, ca, left, logs } = account;
  const errors = logs.lines.filter(({ level }) => level >= 50);
  const many = (count: number, what: string) => (count > 0 ? [`${count} ${what}`] : []);
  return [
    { name: 'every post got a certificate or a clean refusal', faults: posts.lost },
    { name: 'nobody was answered a 500', faults: posts.broken },
    {
      name: "every certificate is for its CSR's key and names, from the CA that the answer names",
      faults: posts.wrong,
    },
    { name: 'certificates came from both CAs', faults: findUnused(posts) },
    {
      name: 'a refusal has a reason that the soak made, and what must be refused is',
      faults: posts.unexplained,
    },
    { name: 'every 202, 429 and 503 says when to come back', faults: many(posts.silent, 'did not') },
    { name: 'nobody was told to wait for a certificate that was there', faults: findLateAnswers(logs.lines) },
    { name: 'no try hung', faults: many(posts.unanswered.hung ?? 0, 'did') },
    { name: 'no CSR was certified twice', faults: posts.certifiedTwice },
    { name: 'no order was finalized twice', faults: ca.finalizedTwice },
    { name: 'orders were made for certificates, failures, or because of a kill', faults: findWaste(account) },
    { name: `certificates came at least every ${longestStandstill} s`, faults: findStandstill(posts) },
    { name: 'no job failed', faults: many(left.failedJobs, 'did') },
    { name: 'no job was left over', faults: many(left.openJobs, 'were') },
    { name: 'no challenge response and no flight was left over', faults: findRemains(left) },
    { name: 'no process ended by itself', faults: account.crashes },
    { name: 'every process that was told to stop ended with 0', faults: account.uncleanStops },
    { name: 'every process is ready at the end', faults: account.notReady },
    { name: 'the logs hold no errors', faults: errors.map(line => JSON.stringify(line)) },
    { name: 'nothing was written past the logs', faults: logs.stray },
    { name: 'the logs hold no secrets', faults: account.leaks },
  ];
}

/**
 * A kill can fall between newOrder's answer and its recording, of each order that is being made just then.
 */
function findWaste({ hits, ...account }: Account): string[] {
  const kills = hits.filter(({ hit }) => /(worker|Redis) is killed/.test(hit.kind)).length;
  const excess = excessOrders(account);
  return excess > kills ? [`${excess} newOrders too many, with ${kills} kills`] : [];
}

/** Orders that were made and recorded in vain, by nobody's fault but Quarry's. */
function excessOrders({ ca, logs }: Pick<Account, 'ca' | 'logs'>): number {
  return ca.newOrders - ca.issued - ca.unheardOrders - ca.leftOrders - failedOrders(logs);
}

function failedOrders({ lines }: Logs): number {
  return lines.filter(({ msg, code }) => msg === 'no certificate' && code === 'challengeFailed').length;
}

function findUnused({ byAccount }: PostAccount): string[] {
  return Object.keys(byAccount).length > 1 ? [] : [`only from ${Object.keys(byAccount)}`];
}

function findStandstill({ standstill }: PostAccount): string[] {
  return standstill > longestStandstill
    ? [`none came for ${standstill.toFixed(1)} s, though clients waited`]
    : [];
}

function findRemains({ challengeResponses, flights }: LeftOver): string[] {
  return challengeResponses + flights > 0 ? [`${challengeResponses} responses, ${flights} flights`] : [];
}

/** The figures, for people. */
export function toFigures(account: Account): string {
  const { posts, ca, left, logs } = account;
  const { median, p95, most } = posts.seconds;
  const warnings = logs.lines.filter(({ level }) => level === 40);
  const ratio = (count: number) => (count / Math.max(1, ca.issued)).toFixed(2);
  const rows: [string, string][] = [
    ['posts', `${posts.posts}, in ${posts.tries} tries; unanswered tries: ${list(posts.unanswered)}`],
    ['certificates', `${posts.served} posts got one of ${posts.certificates}; the CAs issued ${ca.issued}`],
    ['from which account', list(posts.byAccount)],
    ['refusals', list(posts.refused)],
    ['lost, 500s', `${posts.lost.length}, ${posts.broken.length}`],
    [
      'seconds to a certificate',
      `median ${median.toFixed(1)}, p95 ${p95.toFixed(1)}, most ${most.toFixed(1)}`,
    ],
    ['longest without progress', `${posts.standstill.toFixed(1)} s`],
    ['newOrders', `${ca.newOrders}, ${ratio(ca.newOrders)} for each certificate; ${describeOrders(account)}`],
    ['finalized twice', `${ca.finalizedTwice.length}`],
    ['requests to the CAs', `${ca.requests}, ${ratio(ca.requests)} for each certificate`],
    ['unanswered by Pebble', `${ca.unanswered}${ca.unanswered > 0 ? ': it seems to have deadlocked' : ''}`],
    ['jobs', `${left.failedJobs} failed, ${left.openJobs} left over`],
    ['left over in Redis', `${left.challengeResponses} challenge responses, ${left.flights} flights`],
    ['hits', `${account.hits.length}: ${list(countKinds(account.hits))}`],
    ['crashes', `${account.crashes.length}`],
    ['log lines', `${logs.lines.length}, ${warnings.length} warnings: ${list(countMessages(warnings))}`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}

function describeOrders(account: Account): string {
  const { unheardOrders, leftOrders } = account.ca;
  const explained = `${failedOrders(account.logs)} failed, ${unheardOrders} unheard of, ${leftOrders} left`;
  return `${explained}, ${excessOrders(account)} in vain`;
}

function list(counts: Record<string, number>): string {
  const words = Object.entries(counts).map(([word, count]) => `${count} × ${word}`);
  return words.length > 0 ? words.join(', ') : 'none';
}

function countKinds(hits: readonly HitRecord[]): Record<string, number> {
  return count(hits.map(({ hit }) => hit.kind));
}

function countMessages(lines: Logs['lines']): Record<string, number> {
  return count(lines.map(({ msg }) => msg));
}

function count(words: readonly string[]): Record<string, number> {
  return Object.fromEntries([...Map.groupBy(words, word => word)].map(([word, all]) => [word, all.length]));
}

const mostFaults = 10;

/** One line for each check, and below it what was found. */
export function toLines({ name, faults }: Check): string {
  const shown = faults.slice(0, mostFaults).map(fault => `\n        ${fault}`);
  const more = faults.length > mostFaults ? `\n        … and ${faults.length - mostFaults} more` : '';
  return `${faults.length === 0 ? 'ok    ' : 'FAILED'}  ${name}${shown.join('')}${more}`;
}
