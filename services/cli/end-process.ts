/** Calls of the system that threads are in, as Node names them: to files, and to the resolver. */
const heldBy = /^(FSReq|GetAddrInfoReq)/;

/**
 * Ends the process. Where a thread waits for a file system that does not answer, or for a name server,
 * `process.exit` would wait for it, too: there a signal ends the process.
 */
export function endProcess(code = process.exitCode): void {
  const isHeld = process.getActiveResourcesInfo().some(name => heldBy.test(name));
  if (!isHeld) process.exit(code);
  process.emit('exit', Number(code ?? 0));
  process.removeAllListeners('SIGTERM');
  process.kill(process.pid, 'SIGTERM');
  // The kernel passes no signal on to the first process of a container.
  if (process.pid === 1) process.abort();
}
