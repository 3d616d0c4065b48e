import type { Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import type { Live } from '../../shared/base/live.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import type { Role } from '../../shared/base/role.ts';
import { compareConfigs } from '../../shared/setup/changes.ts';
import type { Config } from '../../shared/setup/load-config.ts';

/**
 * What became of a reload. `taken` and `needsRestart` name what has changed, as `[section "name"] option`;
 * what needs a restart keeps its old value. `reason`: one line.
 */
export type Reloaded =
  | { outcome: 'taken' | 'unchanged'; taken: string[]; needsRestart: string[] }
  | { outcome: 'refused'; reason: string };

export type LiveConfig = {
  /**
   * Reads the files again, and has all roles take over what has changed, or none. One runs at a time; those
   * who ask meanwhile share the next one. Never rejects.
   */
  reload(): Promise<Reloaded>;
  /** Of the last reload, what an operator should know. */
  notes(): string[];
};

export type LiveParts = {
  /** What is in force. */
  live: Live<Config>;
  load(): Promise<Config>;
  /** Those that run; they are asked when a reload begins. */
  roles: readonly Role<Config>[];
  /** @throws Error in one line where the process could not work by a configuration, whatever its roles say */
  check(config: Config): Promise<void>;
  /** Does what is the process's rather than a role's; cannot fail. */
  taken(config: Config): void;
  log: Log;
  metrics: Registry;
};

/** The configuration of a process that runs, and the way from its files into its roles. */
export function openLiveConfig({ live, roles, log, metrics, ...parts }: LiveParts): LiveConfig {
  const reloads = new Counter({
    name: 'quarry_config_reloads_total',
    help: 'Reloads of the configuration: taken, unchanged or refused',
    labelNames: ['outcome'],
    registers: [metrics],
  });
  let last: Reloaded = { outcome: 'unchanged', taken: [], needsRestart: [] };
  let running: Promise<Reloaded> | undefined;
  let next: Promise<Reloaded> | undefined;

  async function takeOver(): Promise<Reloaded> {
    const { taken, needsRestart, inForce } = compareConfigs(live.current, await parts.load());
    if (taken.length === 0) return { outcome: 'unchanged', taken, needsRestart };
    await parts.check(inForce);
    const takes = await Promise.all(roles.map(role => role.prepare?.(inForce)));
    for (const take of takes) take?.();
    const known = new Set(live.current.warnings);
    live.current = inForce;
    parts.taken(inForce);
    for (const warning of inForce.warnings) if (!known.has(warning)) log.warn(warning);
    return { outcome: 'taken', taken, needsRestart };
  }

  async function run(): Promise<Reloaded> {
    const reloaded = await takeOver().catch(
      (error): Reloaded => ({ outcome: 'refused', reason: describeError(error) }),
    );
    reloads.inc({ outcome: reloaded.outcome });
    tell(reloaded, last, log);
    last = reloaded;
    return reloaded;
  }

  return {
    reload() {
      if (running) {
        next ??= running.then(() => {
          next = undefined;
          return start();
        });
        return next;
      }
      return start();
    },
    notes: () => toNotes(last),
  };

  function start(): Promise<Reloaded> {
    running = run().finally(() => {
      running = undefined;
    });
    return running;
  }
}

const REFUSED = 'the configuration is not taken over, the old one is in force';
const RESTART = 'a restart is needed for what has changed in the configuration';

/** What was told last time is not told again. */
function tell(reloaded: Reloaded, before: Reloaded, log: Log): void {
  if (reloaded.outcome === 'refused') {
    log.error({ reason: reloaded.reason }, REFUSED);
    return;
  }
  const { outcome, taken, needsRestart } = reloaded;
  if (outcome === 'taken') log.info({ taken }, 'configuration taken over');
  else if (before.outcome === 'refused') log.info('the configuration is the one in force again');
  else log.debug('the configuration has not changed');
  const told = before.outcome === 'refused' ? [] : before.needsRestart;
  if (needsRestart.some(one => !told.includes(one))) log.warn({ needsRestart }, RESTART);
}

function toNotes(last: Reloaded): string[] {
  if (last.outcome === 'refused') return [`${REFUSED}: ${last.reason}`];
  return last.needsRestart.length > 0 ? [`${RESTART}: ${last.needsRestart.join(', ')}`] : [];
}
