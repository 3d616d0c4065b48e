import type { Clock } from './clock.ts';
import type { Log } from './log.ts';
import type { Registry } from './metrics.ts';

/** What every role is handed besides its configuration. */
export type RoleParts = { redisUrl: string; clock: Clock; log: Log; metrics: Registry };

/** A running role of Quarry. Disposing of it stops it cleanly. */
export type Role = AsyncDisposable & {
  readonly name: string;
  /** Why it cannot do its work right now, in a few words; `undefined` when it can. */
  notReady(): string | undefined;
  /** Rejects when the role can never work as configured; else stays pending. */
  readonly failed: Promise<never>;
};
