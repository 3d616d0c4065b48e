import { consumeTasks } from '../../services/scheduler/consume-tasks.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { openRedis } from '../../shared/base/open-redis.ts';
import { openSchedule } from '../../shared/queue/schedule.ts';
import { quietLog } from '../support/quiet-log.ts';

// A scheduler whose only task says that it has begun, and never ends: to be killed.

const [redisUrl = '', prefix = ''] = process.argv.slice(2);
const hanging = {
  ...{ name: 'hanging', rule: 'once', next: (now: number) => now + 1_000 * 3_600_000 },
  run: () => {
    process.stdout.write('begun\n');
    return new Promise<void>(() => {});
  },
};
const schedule = openSchedule(
  { current: [hanging] },
  {
    store: { redis: openRedis({ url: redisUrl }, 'patient', quietLog), prefix },
    clock: systemClock,
    log: quietLog,
  },
);
consumeTasks(
  { current: [hanging] },
  { redisAddress: { url: redisUrl }, prefix, clock: systemClock, log: quietLog, onEnd: () => {} },
);
await schedule.plan(Date.now());
await schedule.enqueueDue(Date.now());
