import { Counter, Gauge, type Registry } from '../../shared/base/metrics.ts';
import type { RenewalIndex } from '../../shared/renewal/renewal-index.ts';

type Counts = Awaited<ReturnType<RenewalIndex['counts']>>;

/**
 * Registers the scheduler's figures; those about renewals are read for each scrape.
 *
 * @param readCounts resolves to `undefined` while Redis is away
 * @returns counts a task that has ended
 */
export function openFigures(metrics: Registry, readCounts: () => Promise<Counts | undefined>) {
  const gauge = (name: string, help: string, read: (counts: Counts) => number | undefined) =>
    new Gauge({
      name: `quarry_scheduler_${name}`,
      help,
      registers: [metrics],
      async collect() {
        const counts = await readCounts().catch(() => undefined);
        const value = counts && read(counts);
        if (value === undefined)
          this.remove(); // reset() would make it 0, an end in 1970
        else this.set(value);
      },
    });
  gauge('certificates_managed', 'Certificates that Quarry renews by itself', counts => counts.managed);
  gauge('certificates_due', 'Of these, those that something is to be done for now', counts => counts.due);
  gauge('certificates_failed', 'Of these, those whose last renewal failed', counts => counts.failed);
  gauge('soonest_expiry_timestamp_seconds', 'When the first of these ends', ({ soonestEnd }) =>
    soonestEnd === undefined ? undefined : soonestEnd / 1000,
  );
  const ended = new Counter({
    name: 'quarry_scheduler_tasks_total',
    help: 'Tasks ended, by kind and outcome',
    labelNames: ['task', 'outcome'],
    registers: [metrics],
  });
  return (task: string, ok: boolean) =>
    ended.inc({ task: task.split('/', 1)[0] ?? task, outcome: ok ? 'done' : 'failed' });
}
