import type { RequestListener } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import type { Registry } from '../../shared/base/metrics.ts';
import type { Role } from '../../shared/base/role.ts';

/** Milliseconds that a probe waits for what is only for people. */
const LONGEST_LOOK = 1_000;

/**
 * Health and figures of this process: `/healthz` (it runs), `/readyz` (`ready` when every role can do its
 * work, else 503 with the reasons; then what else the roles note), `/metrics` (Prometheus text).
 *
 * @param roles those that are started by now
 * @param expected how many there will be
 */
export function createAdminApp(roles: readonly Role[], expected: number, metrics: Registry): RequestListener {
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
        const reasons = whyNotReady(roles, expected);
        const lines = [...(reasons.length === 0 ? ['ready'] : reasons), ...(await readNotes(roles))];
        return answer(reasons.length === 0 ? 200 : 503, `${lines.join('\n')}\n`);
      }
      case '/metrics':
        return answer(200, await metrics.metrics(), metrics.contentType);
      default:
        return answer(404, 'only /healthz, /readyz and /metrics are here\n');
    }
  };
}

function whyNotReady(roles: readonly Role[], expected: number): string[] {
  const reasons = roles.flatMap(role => {
    const reason = role.notReady();
    return reason === undefined ? [] : [`${role.name}: ${reason}`];
  });
  return roles.length < expected ? ['starting', ...reasons] : reasons;
}

/** Notes come from Redis; while that is away, health is told without them. */
async function readNotes(roles: readonly Role[]): Promise<string[]> {
  const all = roles.map(async ({ name, notes }) => ((await notes?.()) ?? []).map(note => `${name}: ${note}`));
  const late = setTimeout(LONGEST_LOOK, [], { ref: false });
  return (await Promise.all(all.map(one => Promise.race([one, late]).catch(() => [])))).flat();
}
