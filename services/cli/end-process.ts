/**
 * Ends the process. Where a thread waits for a file system that does not answer, `process.exit` would wait
 * for it, too: there a signal ends the process.
 */
export function endProcess(code = process.exitCode): void {
  const isHeld = process.getActiveResourcesInfo().some(name => name.startsWith('FSReq'));
  if (!isHeld) process.exit(code);
  process.emit('exit', Number(code ?? 0));
  process.removeAllListeners('SIGTERM');
  process.kill(process.pid, 'SIGTERM');
}
