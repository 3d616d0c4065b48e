import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { type Quarry, type QuarryOptions, startQuarry } from '../support/quarry.ts';
import type { Product } from './benchmark.ts';
import type { Ground } from './ground.ts';
import type { OpenWay, Way } from './signer.ts';

type QuarryWay = Way & { roles: { role: string; running: Quarry }[] };

/** Quarry, each role a process: CSRs are posted to the intake and ordered by one worker, or more. */
export async function openQuarryWay(
  stack: AsyncDisposableStack,
  ground: Ground,
  { workers = 1, ...options }: QuarryOptions & { workers?: number } = {},
): Promise<QuarryWay> {
  const names = ['responder', 'intake', ...Array.from({ length: workers }, () => 'worker' as const)] as const;
  const starts = await Promise.allSettled(names.map(name => startQuarry(name, ground.ini, options)));
  for (const start of starts) if (start.status === 'fulfilled') stack.use(start.value);
  const roles = starts.map((start, index) => {
    if (start.status === 'rejected') throw start.reason;
    return { role: names[index] as string, running: start.value };
  });
  const agent = stack.adopt(new Agent({ keepAlive: true }), agent => agent.destroy());
  return {
    roles,
    pids: roles.map(({ running }) => running.pid),
    sign: ({ csr }) => postCsr(`http://127.0.0.1:${ground.intakePort}/sign`, csr, agent),
  };
}

/** Of one tree. */
export const quarryOf =
  ({ root }: Product): OpenWay =>
  (stack, ground) =>
    openQuarryWay(stack, ground, { root });

async function postCsr(url: string, csr: string, agent: Agent): Promise<void> {
  const post = request(url, { method: 'POST', agent, headers: { 'Content-Length': Buffer.byteLength(csr) } });
  post.end(csr);
  try {
    const [answer] = await once(post, 'response');
    const body = await text(answer);
    if (answer.statusCode !== 200)
      throw new Error(`POST /sign was answered with ${answer.statusCode}: ${body.trim()}`);
  } catch (error) {
    // While another way is measured, the intake closes connections that it takes for idle.
    if (!post.reusedSocket || (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
    await postCsr(url, csr, agent);
  }
}
