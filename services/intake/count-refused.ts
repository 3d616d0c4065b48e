import type { Clock, Log } from '../../shared/base/basics.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';

/** Milliseconds between two lines of the log about the same. */
const QUIET = 60_000;

/** Counts clients whose connections are too many for the descriptors of this process, and tells of them. */
export function countRefused(clock: Clock, log: Log, metrics: Registry): () => void {
  const refused = new Counter({
    name: 'quarry_intake_connections_refused_total',
    help: 'Connections that ended as they began, as too many were open',
    registers: [metrics],
  });
  let toldAt = Number.NEGATIVE_INFINITY;
  return () => {
    refused.inc();
    if (clock.now() - toldAt < QUIET) return;
    toldAt = clock.now();
    log.warn('clients are refused, as too many connections are open');
  };
}
