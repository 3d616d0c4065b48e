import { appendFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type Quarry, startQuarry } from '../support/quarry.ts';
import { waitUntil } from '../support/wait-until.ts';

export type MemberRole = 'worker' | 'intake' | 'responder';

/** One process of the fleet, which keeps its name, its address and its log file over all of its lives. */
export type Member = AsyncDisposable & {
  name: string;
  role: MemberRole;
  /**
   * Ends it by the signal, and starts it again after the pause (milliseconds). Does not wait until it is
   * ready.
   */
  hit(signal: 'SIGKILL' | 'SIGTERM', pauseMs: number): Promise<void>;
  untilReady(timeoutMs: number): Promise<void>;
  /** What it did by itself: lines for people. */
  readonly faults: { crashes: string[]; uncleanStops: string[] };
};

/** @param strayFile gets what the process writes past its log: what Node itself says when it dies */
export async function startMember(options: {
  name: string;
  role: MemberRole;
  ini: string;
  strayFile: string;
}): Promise<Member> {
  const { name, role, ini, strayFile } = options;
  const faults: Member['faults'] = { crashes: [], uncleanStops: [] };
  let current: { process: Quarry; wanted: boolean } | undefined;

  async function start(): Promise<void> {
    // Alive is enough: what it needs may be away just now, and it has to bear that.
    const life = { process: await startQuarry(role, ini, { ready: 'alive' }), wanted: false };
    current = life;
    life.process.exited.then(async code => {
      const stray = life.process.output();
      if (stray !== '') await appendFile(strayFile, stray);
      if (life.wanted) return;
      faults.crashes.push(`${name} ended by itself with ${code}`);
      await startAgain();
    });
  }

  async function startAgain(): Promise<void> {
    await start().catch(error => faults.crashes.push(`${name} does not start: ${(error as Error).message}`));
  }

  async function end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (!current) return;
    const { process } = current;
    current.wanted = true;
    if (signal === 'SIGKILL') await process.kill();
    else {
      const started = performance.now();
      const code = await process.stop(signal);
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      if (code !== 0)
        faults.uncleanStops.push(`${name}: SIGTERM ended in ${code ?? 'SIGKILL'} after ${seconds} s`);
    }
    await process[Symbol.asyncDispose]();
  }

  await start();
  return {
    name,
    role,
    faults,
    async hit(signal, pauseMs) {
      await end(signal);
      await delay(pauseMs);
      await startAgain();
    },
    untilReady: timeoutMs =>
      waitUntil(
        `${name} to be ready`,
        async () => current !== undefined && (await fetch(`${current.process.adminUrl}/readyz`)).ok,
        timeoutMs,
      ),
    [Symbol.asyncDispose]: () => end('SIGTERM'),
  };
}
