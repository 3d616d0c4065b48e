import type { Clock } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import type { Live } from '../../shared/base/live.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import { deliver } from '../../shared/notify/deliver.ts';
import type { NotifyConfig } from '../../shared/notify/notify-section.ts';
import { RefusedError } from '../../shared/notify/webhook.ts';
import {
  type FailedJob,
  type HeldJob,
  type JobSignals,
  type Later,
  openWorker,
  UnrecoverableError,
  type WorkerParts,
} from '../../shared/queue/bullmq.ts';
import { type Delivery, isDelivery, NOTIFY_QUEUE } from '../../shared/queue/notices.ts';

const CONCURRENCY = 4;
/** How long a delivery may go on after SIGTERM before it is cut off. */
const LAST_DELIVERY = 3_000;
/**
 * How long a delivery for a block that is not configured here is left to other schedulers, or to the reload
 * by which this one gets to know it: its message was made by a process that knows it.
 */
const LEFT_TO_OTHERS = 3_600_000;
const PAUSE = 30_000;

type Parts = WorkerParts & { clock: Clock; metrics: Registry };

/**
 * Makes the deliveries of the `notify` queue: each is made by one process, and repeated later where it fails.
 */
export function consumeNotices(blocks: Live<readonly NotifyConfig[]>, parts: Parts): AsyncDisposable {
  const { clock, log, metrics } = parts;
  const count = openFigure(metrics);

  async function run(
    { data, createdAt }: HeldJob<Delivery>,
    { abort }: JobSignals,
  ): Promise<Later | undefined> {
    const { block: name, message } = data;
    const block = blocks.current.find(one => one.name === name);
    if (!block) {
      if (clock.now() - createdAt < LEFT_TO_OTHERS) return { later: clock.now() + PAUSE };
      log.warn({ block: name, message: message.id }, 'a block that is not configured here, dropped');
      return undefined;
    }
    await deliver(block, message, { clock, log, signal: abort }).catch(error => {
      throw error instanceof RefusedError ? new UnrecoverableError(error.message) : error;
    });
    count(name, 'delivered');
    const { id, kind, names } = message;
    log.info({ block: name, message: id, kind, names }, 'message delivered');
    return undefined;
  }

  function failed(error: Error, { data, attempts, over }: FailedJob<Delivery>) {
    const { block = 'unknown', message } = data ?? {};
    const said = { block, message: message?.id, reason: describeError(error) };
    count(block, over ? 'given up' : 'failed');
    if (over) log.error({ ...said, attempts }, 'message not delivered, given up');
    else log.warn(said, 'message not delivered, trying again later');
  }

  return openWorker<Delivery, undefined>(
    NOTIFY_QUEUE,
    { concurrency: CONCURRENCY, isData: isDelivery, patience: LAST_DELIVERY, run, failed },
    parts,
  );
}

function openFigure(metrics: Registry) {
  const counter = new Counter({
    name: 'quarry_scheduler_messages_total',
    help: 'Attempts to deliver a message, by block and outcome',
    labelNames: ['block', 'outcome'],
    registers: [metrics],
  });
  return (block: string, outcome: 'delivered' | 'failed' | 'given up') => counter.inc({ block, outcome });
}
