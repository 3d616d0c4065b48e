import { describeError } from '../../../shared/base/errors.ts';
import { formatListener, type Listener } from '../../../shared/config/listener.ts';
import type { ChallengeResponse } from '../../../shared/solver/solver.ts';

export type Look = (
  at: { host: string; port: number },
  response: ChallengeResponse,
  signal: AbortSignal,
) => Promise<void>;

/**
 * Looks for a response that was presented at every listener of a verification. Of those that no file has written one is
 * enough, as not every machine has IPv6.
 *
 * @returns what was seen, in one line
 * @throws Error with what is wrong, in one line
 */
export async function tryListeners(
  listeners: readonly Listener[],
  look: Look,
  response: ChallengeResponse,
  signal: AbortSignal,
): Promise<string> {
  const looks = await Promise.all(
    listeners.map(async listener => {
      const name = formatListener(listener);
      const fault = await look(reachable(listener), response, signal).then(() => undefined, describeFault);
      return { name, fault, explicit: listener.explicit };
    }),
  );
  const good = looks.filter(({ fault }) => fault === undefined);
  const bad = looks.filter(({ fault, explicit }) => fault !== undefined && (explicit || good.length === 0));
  if (bad.length > 0) throw new Error(bad.map(({ name, fault }) => `${name} ${fault}`).join('; '));
  return `${good.map(({ name }) => name).join(', ')} answered with the test response`;
}

/** What listens at all addresses is asked at this machine's own. */
function reachable({ host, port }: Listener): { host: string; port: number } {
  const own: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' };
  return { host: own[host] ?? host, port };
}

function describeFault(error: unknown): string {
  const { code = '' } = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return 'is not listened on: does a responder run?';
  return /^E[A-Z]+$/.test(code) ? `cannot be reached (${code})` : describeError(error);
}
