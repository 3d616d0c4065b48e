import type { OpenLog } from '../../shared/base/log.ts';
import { type Command, needFiles, readWords } from './command.ts';
import { endProcess } from './end-process.ts';
import { runRoles } from './run-roles.ts';
import { takeNotifyVariables } from './service-manager.ts';
import { type RoleName, roleNames } from './start-role.ts';

/**
 * How long a clean stop may take before the process ends anyway; under the ten seconds that container engines
 * give.
 */
const STOP_TIMEOUT = 8_500;

/**
 * A command that runs roles until a signal stops the process. `up` starts a private Redis where none is
 * configured.
 */
export function roleCommand(name: 'up' | RoleName, summary: string): Command {
  const roles = name === 'up' ? roleNames : [name];
  return {
    usage: [`${name} FILE…`],
    summary,
    example: `quarry ${name} main.ini`,
    async run(words, { env }) {
      const files = needFiles(name, readWords(words));
      const stop = new AbortController();
      let opened: OpenLog | undefined;
      let wasHungUp = false;
      let reload = () => {
        wasHungUp = true;
      };
      process.on('SIGHUP', () => {
        opened?.reopen();
        reload();
      });
      process.on('exit', () => opened?.end());
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        process.on(signal, () => {
          if (stop.signal.aborted) return endProcess(1); // a second signal ends the process at once
          stop.abort();
          endInTime();
        });
      }
      const giveUp = () => {
        opened?.log.error('a role has not stopped in time');
        endProcess(1);
      };
      const endInTime = () => setTimeout(giveUp, STOP_TIMEOUT).unref();
      const onLog = (log: OpenLog) => {
        opened = log;
      };
      const notify = takeNotifyVariables(process.env, process.pid);
      const options = { files, roles, privateRedis: name === 'up', env, notify, stop: stop.signal };
      try {
        const onReload = (next: () => void) => {
          reload = next;
          if (wasHungUp) reload();
        };
        await runRoles({ ...options, onLog, onReload, onFailure: endInTime });
        process.exitCode = 0;
      } finally {
        // All is closed but timers that libraries leave behind while Redis is away. Errors are told first.
        setImmediate(() => endProcess());
      }
    },
  };
}
