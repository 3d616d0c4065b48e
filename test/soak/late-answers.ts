import type { LogLine } from './read-logs.ts';

/** An intake looks at what is waited for every three seconds, even where it has missed the event. */
const mostLateMs = 5_000;

/** Clients that were told to wait for a certificate that was there, one line each. */
export function findLateAnswers(lines: readonly LogLine[]): string[] {
  const issued = new Map<unknown, number>();
  for (const line of lines) {
    // The last time counts: a job runs again whose result Redis has lost with its master.
    if (line.msg === 'certificate issued')
      issued.set(line.job, Math.max(line.time, issued.get(line.job) ?? 0));
  }
  return lines.flatMap(line => {
    const late = line.time - (issued.get(line.job) ?? Infinity);
    if (!isToldToWait(line) || late < mostLateMs) return [];
    return [
      `request ${line.request} was answered ${line.status}, ${(late / 1000).toFixed(1)} s after it was issued`,
    ];
  });
}

/** Not those who are sent away because Redis or the intake is: they come back to what they find. */
function isToldToWait({ msg, status, reason }: LogLine): boolean {
  return (
    msg === 'request' && (status === 202 || (status === 503 && `${reason}`.includes('still being worked on')))
  );
}
