import { systemClock } from '../../shared/base/basics.ts';

/** Calls of the system that are under way in a thread of the pool, as Node names them. */
const inPool = /^(FSReq|GetAddrInfoReq|GetNameInfoReq)/;

const isInPool = () => process.getActiveResourcesInfo().some(name => inPool.test(name));

/** Milliseconds that such a call is given. */
const PATIENCE = 500;
const PAUSE = 20;

/**
 * Ends the process with its exit code. Node waits for every thread first, and a call to a file system that
 * hangs never returns: then the process kills itself.
 *
 * @param onKill the last words: no `exit` is emitted
 */
export async function endProcess(onKill: () => void): Promise<never> {
  for (let waited = 0; isInPool() && waited < PATIENCE; waited += PAUSE) await systemClock.sleep(PAUSE);
  if (!isInPool()) process.exit();
  onKill();
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => {});
}
