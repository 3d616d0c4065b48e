import { type Job, UnrecoverableError } from 'bullmq';
import type { Clock } from '../../shared/base/clock.ts';
import { describeError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import { deliver } from '../../shared/notify/deliver.ts';
import type { NotifyConfig } from '../../shared/notify/notify-section.ts';
import { RefusedError } from '../../shared/notify/webhook.ts';
import { type Delivery, NOTIFY_QUEUE } from '../../shared/queue/notices.ts';
import { delayJob, openWorker } from '../../shared/queue/open-worker.ts';

const CONCURRENCY = 4;
const HAND_OVER_DELAY = 100;
/** How long a delivery may go on after SIGTERM before it is cut off. */
const LAST_DELIVERY = 3_000;

type Parts = { redisUrl: string; prefix: string; clock: Clock; log: Log; metrics: Registry };

/** The notifier: makes the deliveries of the `notify` queue, each in one process, and again later where it is in vain. */
export function consumeNotices(blocks: readonly NotifyConfig[], parts: Parts): AsyncDisposable {
  const { redisUrl, prefix, clock, log, metrics } = parts;
  const byName = new Map(blocks.map(block => [block.name, block]));
  const cutOff = new AbortController();
  const count = openFigure(metrics);

  async function process(
    job: Job<Delivery>,
    token = '',
    cancelled = new AbortController().signal,
  ): Promise<void> {
    const { block: name, message } = job.data;
    const block = byName.get(name);
    if (!block)
      return log.warn({ block: name, message: message.id }, 'a block that is not configured here, dropped');
    try {
      await deliver(block, message, { clock, log, signal: AbortSignal.any([cutOff.signal, cancelled]) });
      count(name, 'delivered');
      log.info(
        { block: name, message: message.id, kind: message.kind, names: message.names },
        'message delivered',
      );
    } catch (error) {
      if (cutOff.signal.aborted && !cancelled.aborted)
        return delayJob(job, Date.now() + HAND_OVER_DELAY, token);
      throw error instanceof RefusedError ? new UnrecoverableError(error.message) : error;
    }
  }

  const { worker, close } = openWorker<Delivery, void>(NOTIFY_QUEUE, process, {
    ...{ redisUrl, prefix, concurrency: CONCURRENCY, log },
  });
  worker.on('failed', (job, error) => {
    const said = { block: job?.data.block, message: job?.data.message.id, reason: describeError(error) };
    const over = job?.finishedOn !== undefined;
    count(said.block ?? '', over ? 'given up' : 'failed');
    if (over) log.error({ ...said, attempts: job?.attemptsMade }, 'message not delivered, given up');
    else log.warn(said, 'message not delivered, trying again later');
  });
  return { [Symbol.asyncDispose]: () => close(cutOff, LAST_DELIVERY) };
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
