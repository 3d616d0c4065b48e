import type { RequestListener } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import type { Registry } from '../../shared/base/metrics.ts';
import type { Role } from '../../shared/base/role.ts';

/** Milliseconds that a probe waits for what is only for people. */
const LONGEST_LOOK = 1_000;

/**
 * Health and figures of this process: `/healthz` (it runs), `/readyz` (`ready` when every role can do its
 * work, else 503 with the reasons; then what else the process and its roles note), `/metrics` (Prometheus
 * text).
 *
 * @param roles those that are started by now
 * @param expected how many there will be
 * @param notes each says what an operator should know of the process rather than of a role, a line each
 */
export function createAdminApp(
  roles: readonly Role[],
  expected: number,
  metrics: Registry,
  notes: readonly (() => string[])[] = [],
): RequestListener {
  return async (request, response) => {
    const answer = (status: number, body: string, type = 'text/plain; charset=utf-8') => {
      response
        .writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) })
        .end(body);
    };
    switch (request.url?.split('?', 1)[0]) {
      case '/healthz':
        return answer(200, 'ok\n');
      case '/readyz': {
        const { ready, lines } = await readReadiness(roles, expected, notes);
        return answer(ready ? 200 : 503, `${lines.join('\n')}\n`);
      }
      case '/metrics':
        return answer(200, await metrics.metrics(), metrics.contentType);
      default:
        return answer(404, 'only /healthz, /readyz and /metrics are here\n');
    }
  };
}

/** Whether all roles can do their work, and what `/readyz` says of it, line by line. */
export async function readReadiness(
  roles: readonly Role[],
  expected: number,
  notes: readonly (() => string[])[],
): Promise<{ ready: boolean; lines: string[] }> {
  const reasons = await whyNotReady(roles, expected);
  const ready = reasons.length === 0;
  const known = [...notes.flatMap(read => read()), ...(await readNotes(roles))];
  return { ready, lines: [...(ready ? ['ready'] : reasons), ...known] };
}

async function whyNotReady(roles: readonly Role[], expected: number): Promise<string[]> {
  const reasons = await Promise.all(
    roles.map(async role => {
      const reason = role.notReady() ?? (await inTime(role.findFault?.()));
      return reason === undefined ? [] : [`${role.name}: ${reason}`];
    }),
  );
  return roles.length < expected ? ['starting', ...reasons.flat()] : reasons.flat();
}

/** What does not come in time, or not at all, counts as absent. */
async function inTime<T>(answer: Promise<T> | undefined): Promise<T | undefined> {
  const late = setTimeout(LONGEST_LOOK, undefined, { ref: false });
  return Promise.race([answer, late]).catch(() => undefined);
}

/** Notes come from Redis; while that is away, health is told without them. */
async function readNotes(roles: readonly Role[]): Promise<string[]> {
  const all = roles.map(async ({ name, notes }) => ((await notes?.()) ?? []).map(note => `${name}: ${note}`));
  return (await Promise.all(all.map(inTime))).flatMap(notes => notes ?? []);
}
