import { consumeNotices } from '../../services/scheduler/consume-notices.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { openMetrics } from '../../shared/base/metrics.ts';
import { quietLog } from '../support/quiet-log.ts';

// A scheduler's notifier in a process of its own: to be killed while the receiver of its webhook keeps it
// waiting.

const [redisUrl = '', prefix = '', url = ''] = process.argv.slice(2);
consumeNotices(
  { current: [{ name: 'ops', kinds: ['renewal-failed'], type: 'webhook', url }] },
  {
    ...{ redisAddress: { url: redisUrl }, prefix, clock: systemClock, log: quietLog, metrics: openMetrics() },
  },
);
