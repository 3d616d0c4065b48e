import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { startQuarry } from '../support/quarry.ts';
import type { Ground } from './ground.ts';
import type { Way } from './signer.ts';

/** Quarry, each role a process: CSRs are posted to the intake and ordered by one worker, or more. */
export async function openQuarryWay(stack: AsyncDisposableStack, ground: Ground, workers = 1): Promise<Way> {
  const roles = ['responder', 'intake', ...Array.from({ length: workers }, () => 'worker' as const)] as const;
  const starts = await Promise.allSettled(roles.map(role => startQuarry(role, ground.ini)));
  for (const start of starts) if (start.status === 'fulfilled') stack.use(start.value);
  const pids = starts.map(start => {
    if (start.status === 'rejected') throw start.reason;
    return start.value.pid;
  });
  const agent = stack.adopt(new Agent({ keepAlive: true }), agent => agent.destroy());
  return { pids, sign: ({ csr }) => postCsr(`http://127.0.0.1:${ground.intakePort}/sign`, csr, agent) };
}

async function postCsr(url: string, csr: string, agent: Agent): Promise<void> {
  const post = request(url, { method: 'POST', agent, headers: { 'Content-Length': Buffer.byteLength(csr) } });
  post.end(csr);
  const [answer] = await once(post, 'response');
  const body = await text(answer);
  if (answer.statusCode !== 200)
    throw new Error(`POST /sign was answered with ${answer.statusCode}: ${body.trim()}`);
}
