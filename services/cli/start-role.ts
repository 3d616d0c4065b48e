import type { Role, RoleParts } from '../../shared/base/role.ts';
import type { Config } from '../../shared/setup/load-config.ts';

export const roleNames = ['intake', 'scheduler', 'worker', 'responder'] as const;
export type RoleName = (typeof roleNames)[number];

/** Imports a role when it is needed, so that a responder does not carry the worker's libraries. */
export async function startRole(name: RoleName, config: Config, parts: RoleParts): Promise<Role<Config>> {
  switch (name) {
    case 'intake':
      return (await import('../intake/intake.ts')).startIntake(config, parts);
    case 'worker':
      return (await import('../worker/worker.ts')).startWorker(config, parts);
    case 'scheduler':
      return (await import('../scheduler/scheduler.ts')).startScheduler(config, parts);
    case 'responder':
      return (await import('../responder/responder.ts')).startResponder(config, parts);
  }
}
