import { openAcmeClient } from '../../shared/acme/client.ts';
import { describeError } from '../../shared/base/errors.ts';
import { accountOf } from '../../shared/ca/account-holder.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import { withdrawAll } from '../../shared/order/challenges.ts';
import { leftState } from '../../shared/order/next-step.ts';
import type { SignRun } from './job.ts';

/**
 * Withdraws what an earlier run of the job presented for an order that this run gives up before it drives it.
 */
export async function withdrawAt({ parts, job, log, progress, signals }: SignRun, ca: Ca): Promise<void> {
  const checkpoint = progress.orderAt(ca.name);
  const { order } = checkpoint;
  const { challenges, url } = order;
  if (challenges.length === 0) return;
  const solvers = job.data.solvers.flatMap(name => parts.solvers.get(name) ?? []);
  try {
    const acme = openAcmeClient(ca.connection, accountOf(ca.account), signals.abort);
    await withdrawAll({ acme, solvers, signal: signals.abort }, challenges);
  } catch (error) {
    log.warn({ reason: describeError(error), order: url }, 'challenge responses remain until they expire');
  }
  await progress.saveOrder(ca.name, { ...checkpoint, order: leftState(order) });
}
