import type { AcmeClient } from '../acme/client.ts';
import { saysAccountIsGone } from '../acme/problem.ts';
import type { Clock } from '../base/basics.ts';
import { describeError, IssuanceError } from '../base/basics.ts';
import type { Ca } from '../ca/open-ca.ts';
import type { Limit } from '../limits/limits.ts';
import { withdrawAll } from '../order/challenges.ts';
import { driveOrder, type Verdict } from '../order/drive-order.ts';
import { retryTime, SHORT_PATIENCE } from '../order/fail-over.ts';
import { type Checkpoint, newCheckpoint, newOrderState, type OrderTask } from '../order/next-step.ts';
import type { Solver } from '../solver/solver.ts';
import type { Accounts } from './account.ts';
import type { DomainEntry } from './file.ts';
import { type OrderGate, openGate } from './gate.ts';
import type { OrderMemory } from './memory.ts';
import type { ShamanDomain } from './profile.ts';

/** What a domain's orders are made with. */
export type Ordering = {
  accounts: Accounts;
  /** What proves a domain's names, in the order of preference; throws where an authenticator cannot be run. */
  solversOf: (domain: Readonly<ShamanDomain>) => readonly Solver[];
  /** Of the profile's claims on what CAs allow. */
  claimant: string;
  onLimit: (limit: Limit) => Promise<void>;
  /** Asked before what must not be done twice; rejects when the directory is another run's by now. */
  confirm: () => Promise<void>;
  clock: Clock;
  signal: AbortSignal;
};

/** What was issued: `chain` is PEM, `url` the certificate's at the CA. */
export type Ordered = { chain: string; url: string; ca: Ca; gate: OrderGate; turn: Checkpoint['turn'] };

/**
 * The order that `order_id` names, where it can still end well and is for the names that are wanted now; another one is
 * forgotten.
 */
export async function findOrder(
  ordering: Pick<Ordering, 'accounts' | 'solversOf' | 'signal'>,
  ca: Ca,
  entry: DomainEntry,
): Promise<Checkpoint | undefined> {
  const { orderUrl: url, memory, identifiers } = entry.domain;
  if (url === undefined) return undefined;
  const saved = memory.order?.url === url ? memory.order : undefined;
  // concorde's orders are for the name alone.
  const names = saved?.names ?? identifiers.slice(0, 1).map(({ value }) => value);
  if (hasNames(entry, names) && (await isGood(ordering.accounts, ca, url))) {
    return saved ? toCheckpoint(saved) : newCheckpoint({ ...newOrderState(), url });
  }
  entry.say('info', `order ${url} is of no use any more`);
  if (saved) await withdraw(ordering, ca, entry, saved);
  await entry.change({ orderUrl: undefined, memory: { order: undefined } });
  return undefined;
}

function hasNames({ names: wanted }: DomainEntry, names: readonly string[]): boolean {
  return wanted.length === names.length && wanted.every(value => names.includes(value));
}

function toCheckpoint({ names: _, turn, ...order }: OrderMemory): Checkpoint {
  return { ...newCheckpoint(order), turn };
}

async function isGood({ actAs }: Accounts, ca: Ca, url: string): Promise<boolean> {
  try {
    return (await actAs(ca, acme => acme.getOrder(url))).status !== 'invalid';
  } catch (error) {
    if (error instanceof IssuanceError && error.code === 'gone' && !saysAccountIsGone(error)) return false;
    throw error;
  }
}

async function withdraw(
  { accounts, solversOf, signal }: Pick<Ordering, 'accounts' | 'solversOf' | 'signal'>,
  ca: Ca,
  entry: DomainEntry,
  { url, challenges }: OrderMemory,
): Promise<void> {
  if (challenges.length === 0) return;
  try {
    const solvers = solversOf(entry.domain);
    await accounts.actAs(ca, acme => withdrawAll({ acme, solvers, signal }, challenges));
  } catch (error) {
    signal.throwIfAborted();
    entry.say(
      'warn',
      `challenge responses of order ${url} remain until they expire: ${describeError(error)}`,
    );
  }
}

/**
 * Drives an order of a domain to its end, from where the last run's ended. Everything is in `shaman.json` before the next
 * thing is done.
 *
 * @throws what the order came to nothing by, as the limits know it; or the signal's reason
 */
export async function orderCertificate(
  ordering: Ordering,
  ca: Ca,
  entry: DomainEntry,
  task: OrderTask,
  from: Checkpoint,
): Promise<Ordered> {
  const { accounts, claimant, onLimit, signal } = ordering;
  const gate = openGate(ca, task.identifiers, claimant, onLimit, signal);
  try {
    return await accounts.actAs(ca, acme => drive(ordering, { ca, acme, gate }, entry, task, from));
  } catch (error) {
    signal.throwIfAborted();
    await gate.gaveUp();
    throw error;
  }
}

async function drive(
  { solversOf, clock, signal, confirm }: Ordering,
  { ca, acme, gate }: { ca: Ca; acme: AcmeClient; gate: OrderGate },
  entry: DomainEntry,
  task: OrderTask,
  from: Checkpoint,
): Promise<Ordered> {
  const driven = await driveOrder(
    {
      acme,
      solvers: solversOf(entry.domain),
      clock,
      signal,
      paces: ca.paces,
      longestWait: Number.POSITIVE_INFINITY,
      confirm,
      warn: fault => entry.say('warn', fault),
      save: checkpoint => saveOrder(entry, checkpoint),
      async mayOrder({ order, turn }) {
        const renews = task.replaces !== undefined && !order.replaced;
        return { do: 'order', turn: await gate.before({ renews, turn }) };
      },
      judge: async (error, checkpoint) => toVerdict(await gate.failed(error), checkpoint, clock.now()),
    },
    task,
    from,
  );
  if (driven.end !== 'issued') throw new Error(`the order ended with ${driven.end}`);
  return { chain: driven.chain, url: driven.certificate, ca, gate, turn: driven.checkpoint.turn };
}

/** An account that is gone is had anew first, and an order that is gone is made anew at once, but once. */
function toVerdict(error: unknown, checkpoint: Checkpoint, now: number): Verdict {
  const again = saysAccountIsGone(error) ? undefined : retryTime(error, checkpoint, now, SHORT_PATIENCE);
  return again ? { do: 'retry', ...again } : { do: 'fail', error };
}

async function saveOrder(entry: DomainEntry, { order, turn }: Checkpoint): Promise<void> {
  const { url } = order;
  if (url === undefined) return; // before newOrder there is nothing to go on from
  if (entry.domain.orderUrl !== url) entry.say('info', `order ${url}`);
  const memory: OrderMemory = { ...order, url, names: entry.names, ...(turn && { turn }) };
  await entry.change({ orderUrl: url, memory: { order: memory } });
}
