import type { AcmeClient } from '../acme/client.ts';
import { saysAccountIsGone } from '../acme/problem.ts';
import type { Clock, Log } from '../base/basics.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import type { Ca } from '../ca/open-ca.ts';
import type { Limit } from '../limits/limits.ts';
import { withdrawAll } from '../order/challenges.ts';
import { driveOrder } from '../order/drive-order.ts';
import type { DriveParts } from '../order/drive-parts.ts';
import { goesElsewhere, type Refusal, refusedByAll, retryTime, SHORT_PATIENCE } from '../order/fail-over.ts';
import { admit, LeftError, noteUnreachable, toLeft } from '../order/leave-account.ts';
import { leftState, newCheckpoint, newOrderState } from '../order/next-step.ts';
import type { Checkpoint, OrderTask } from '../order/order-state.ts';
import type { Solver } from '../solver/solver.ts';
import { type Accounts, OWN_ACCOUNT } from './account.ts';
import type { DomainEntry } from './file.ts';
import { type OrderGate, openGate } from './gate.ts';
import type { OrderMemory } from './memory.ts';
import type { ShamanDomain } from './profile.ts';

/** What a domain's orders are made with. */
export type Ordering = {
  accounts: Accounts;
  /**
   * What proves a domain's names, in the order of preference; throws where an authenticator cannot be run.
   */
  solversOf: (domain: Readonly<ShamanDomain>) => readonly Solver[];
  /** Of the profile's claims on what CAs allow. */
  claimant: string;
  onLimit: (limit: Limit) => Promise<void>;
  /** Asked before what must not be done twice; rejects when the directory is another run's by now. */
  confirm: () => Promise<void>;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
};

type Judge = DriveParts['judge'];

/** What was issued: `chain` is PEM, `url` the certificate's at the CA. */
export type Ordered = { chain: string; url: string; ca: Ca; gate: OrderGate; turn: Checkpoint['turn'] };

/** An order that is under way, and the account that it is by. */
type Resumed = { ca: Ca; from: Checkpoint };

/**
 * The order that `order_id` names, where it can still end well, is by an account that is ordered from, and
 * for the names that are wanted now; another one is forgotten.
 */
export async function findOrder(
  ordering: Pick<Ordering, 'accounts' | 'solversOf' | 'signal'>,
  entry: DomainEntry,
): Promise<Resumed | undefined> {
  const { orderUrl: url, memory, identifiers } = entry.domain;
  if (url === undefined) return undefined;
  const { accounts } = ordering;
  const saved = memory.order?.url === url ? memory.order : undefined;
  // concorde's orders are for the name alone.
  const names = saved?.names ?? identifiers.slice(0, 1).map(({ value }) => value);
  const ca = accounts.find(saved?.account);
  const isWanted = ca && accounts.orderers.includes(ca) && hasNames(entry, names);
  if (isWanted && (await isGood(accounts, ca, url)))
    return { ca, from: saved ? toCheckpoint(saved) : newCheckpoint({ ...newOrderState(), url }) };
  entry.say('info', `order ${url} is of no use any more`);
  await withdraw(ordering, entry);
  await entry.change({ orderUrl: undefined, memory: { order: undefined } });
  return undefined;
}

function hasNames({ names: wanted }: DomainEntry, names: readonly string[]): boolean {
  return wanted.length === names.length && wanted.every(value => names.includes(value));
}

function toCheckpoint({ names: _, account: __, turn, ...order }: OrderMemory): Checkpoint {
  return { ...newCheckpoint(order), turn };
}

/** Where there is another account to order from, a CA that cannot be asked now need not be waited for. */
async function isGood({ orderers, actAs }: Accounts, ca: Ca, url: string): Promise<boolean> {
  try {
    return (await actAs(ca, acme => acme.getOrder(url))).status !== 'invalid';
  } catch (error) {
    if (!(error instanceof IssuanceError)) throw error;
    if (error.code === 'gone' && !saysAccountIsGone(error)) return false;
    if (orderers.length > 1) return true;
    throw error;
  }
}

/** Withdraws what the order of the memory has presented, if anything. The order itself may still be good. */
async function withdraw(
  { accounts, solversOf, signal }: Pick<Ordering, 'accounts' | 'solversOf' | 'signal'>,
  entry: DomainEntry,
): Promise<void> {
  const { order } = entry.domain.memory;
  const ca = order && accounts.find(order.account);
  if (!ca || order.challenges.length === 0) return;
  try {
    const solvers = solversOf(entry.domain);
    await accounts.actAs(ca, acme => withdrawAll({ acme, solvers, signal }, order.challenges));
  } catch (error) {
    signal.throwIfAborted();
    const reason = describeError(error);
    entry.say('warn', `challenge responses of order ${order.url} remain until they expire: ${reason}`);
  }
  const { url, names, account, turn } = order;
  const fresh = { ...leftState(order), url, names, ...(account && { account }), ...(turn && { turn }) };
  await entry.change({ memory: { order: fresh } });
}

/**
 * Drives an order of a domain to its end, from where the last run's ended, else at the first account that
 * issues. Everything is in `shaman.json` before the next thing is done.
 *
 * @param patience until when a limit can be waited for, in milliseconds since the epoch
 * @throws what the order came to nothing by, as the limits know it; or the signal's reason
 */
export async function orderCertificate(
  ordering: Ordering,
  entry: DomainEntry,
  wanted: { task: OrderTask; resumed: Resumed | undefined; patience: number },
): Promise<Ordered> {
  const { task, resumed, patience } = wanted;
  const { orderers } = ordering.accounts;
  const others = orderers.filter(ca => ca !== resumed?.ca);
  const refusals: Refusal[] = [];
  for (const ca of resumed ? [resumed.ca, ...others] : others) {
    const from = ca === resumed?.ca ? resumed.from : newCheckpoint();
    try {
      return await orderAt(ordering, ca, entry, { task, from, patience });
    } catch (error) {
      if (!(error instanceof LeftError)) throw error;
      entry.say('warn', `account ${ca.name} does not issue: ${error.message}`);
      refusals.push(error.refusal);
      await withdraw(ordering, entry); // where it was left before anything was done
    }
  }
  throw refusedByAll(refusals);
}

/** @throws LeftError where another account is to be tried */
async function orderAt(
  ordering: Ordering,
  ca: Ca,
  entry: DomainEntry,
  { task, from, patience }: { task: OrderTask; from: Checkpoint; patience: number },
): Promise<Ordered> {
  const { accounts, claimant, onLimit, clock, log, signal } = ordering;
  const hasOthers = accounts.orderers.length > 1;
  const solvers = () => ordering.solversOf(entry.domain);
  const gate = openGate(ca, task.identifiers, { claimant, solvers }, onLimit, signal);
  let unreachable = false;
  const judge: Judge = async (error, checkpoint) => {
    const known = await gate.failed(error);
    unreachable = await noteUnreachable(ca, known, log);
    const leaves = hasOthers && goesElsewhere(known, patience, unreachable);
    // An account that is gone is opened anew first; an order that is gone is made anew at once, but only
    // once.
    const isOver = leaves || saysAccountIsGone(known);
    const again = isOver ? undefined : retryTime(known, checkpoint, clock.now(), SHORT_PATIENCE);
    return again ? { do: 'retry', ...again } : { do: 'fail', error: known };
  };
  try {
    if (hasOthers) await reach(ca, ordering);
    return await accounts.actAs(ca, acme => drive(ordering, { ca, acme, gate, judge }, entry, task, from));
  } catch (error) {
    signal.throwIfAborted();
    await gate.gaveUp();
    const leaves = hasOthers && error instanceof IssuanceError && goesElsewhere(error, patience, unreachable);
    if (leaves) throw toLeft(ca.name, error, undefined);
    throw error;
  }
}

/** @throws LeftError where the CA, or the account there, is of no use now */
async function reach(
  ca: Ca,
  { clock, log, signal }: Pick<Ordering, 'clock' | 'log' | 'signal'>,
): Promise<void> {
  await admit(ca, clock.now());
  try {
    await ca.account.open(signal);
  } catch (error) {
    if (!(error instanceof IssuanceError)) throw error;
    await noteUnreachable(ca, error, log);
    throw toLeft(ca.name, error, undefined);
  }
}

async function drive(
  { accounts, solversOf, clock, signal, confirm, log }: Ordering,
  { ca, acme, gate, judge }: { ca: Ca; acme: AcmeClient; gate: OrderGate; judge: Judge },
  entry: DomainEntry,
  task: OrderTask,
  from: Checkpoint,
): Promise<Ordered> {
  const replaces = findReplaced(entry, accounts, ca);
  const driven = await driveOrder(
    {
      acme,
      solvers: solversOf(entry.domain),
      clock,
      signal,
      paces: ca.paces,
      longestWait: Number.POSITIVE_INFINITY,
      longestTold: 15 * 60_000, // meanwhile the other domains wait; the next run goes on
      confirm,
      warn: fault => entry.say('warn', fault),
      async save(checkpoint) {
        await saveOrder(entry, ca, checkpoint);
        if (checkpoint.failures === 0 && ca.breaker.suspected && (await ca.breaker.answered()))
          log.info({ account: ca.name }, 'the CA answers again, breaker closed');
      },
      async mayOrder({ order, turn }) {
        const renews = replaces !== undefined && !order.replaced;
        return { do: 'order', turn: await gate.before({ renews, turn }) };
      },
      judge,
    },
    { ...task, replaces },
    from,
  );
  if (driven.end !== 'issued') throw new Error(`the order ended with ${driven.end}`);
  return { chain: driven.chain, url: driven.certificate, ca, gate, turn: driven.checkpoint.turn };
}

/** Only the CA that issued a certificate knows it. */
function findReplaced({ domain }: DomainEntry, { issuerOf }: Accounts, ca: Ca): string | undefined {
  const { renewal, issuedBy } = domain.memory;
  const isIssuer = issuerOf(issuedBy).ca?.directoryUrl === ca.directoryUrl;
  return renewal?.named && isIssuer ? renewal.id : undefined;
}

async function saveOrder(
  entry: DomainEntry,
  { name: account }: Ca,
  { order, turn }: Checkpoint,
): Promise<void> {
  const { url } = order;
  const by = account === OWN_ACCOUNT ? undefined : account;
  if (url === undefined) {
    // Before newOrder there is nothing to go on from, nor is there after the end of an order.
    const isOver = entry.domain.orderUrl !== undefined && entry.domain.memory.order?.account === by;
    if (isOver) await entry.change({ orderUrl: undefined, memory: { order: undefined } });
    return;
  }
  if (entry.domain.orderUrl !== url) entry.say('info', `order ${url}`);
  const whose = { names: entry.names, ...(by && { account: by }), ...(turn && { turn }) };
  await entry.change({ orderUrl: url, memory: { order: { ...order, url, ...whose } } });
}
