/** Calls of the system that threads are in, as Node names them: to files, and to the resolver. */
const heldBy = /^(FSReq|GetAddrInfoReq)/;

/** Milliseconds that such a call has left, once the process is to end; most take less than one. */
const LAST_CALLS = 500;
const LOOK_AGAIN = 20;

/**
 * Ends the process. Where a thread waits for a file system that does not answer, or for a name server,
 * `process.exit` would wait for it, too: there a signal ends the process.
 */
export function endProcess(code = process.exitCode, patience = LAST_CALLS): void {
  const isHeld = process.getActiveResourcesInfo().some(name => heldBy.test(name));
  if (!isHeld) process.exit(code);
  if (patience > 0) {
    setTimeout(() => endProcess(code, patience - LOOK_AGAIN), LOOK_AGAIN);
    return;
  }
  process.emit('exit', Number(code ?? 0));
  process.removeAllListeners('SIGTERM');
  process.kill(process.pid, 'SIGTERM');
  // The kernel passes no signal on to the first process of a container.
  if (process.pid === 1) process.abort();
}
