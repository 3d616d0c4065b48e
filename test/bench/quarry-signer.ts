import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { startQuarry } from '../support/quarry.ts';
import { type Signer, startGround } from './signer.ts';

/** Quarry, each role a process: CSRs are posted to the intake and ordered by one worker. */
export async function startQuarrySigner(concurrency: number): Promise<Signer> {
  await using starting = new AsyncDisposableStack();
  const { pebble, ini, intakePort } = await startGround(starting, concurrency);
  const roles = await Promise.allSettled(
    (['responder', 'worker', 'intake'] as const).map(role => startQuarry(role, ini)),
  );
  for (const role of roles) if (role.status === 'fulfilled') starting.use(role.value);
  for (const role of roles) if (role.status === 'rejected') throw role.reason;
  const agent = starting.adopt(new Agent({ keepAlive: true }), agent => agent.destroy());
  const started = starting.move();
  return {
    pebble,
    sign: (_, csr) => postCsr(`http://127.0.0.1:${intakePort}/sign`, csr, agent),
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

async function postCsr(url: string, csr: string, agent: Agent): Promise<void> {
  const post = request(url, { method: 'POST', agent, headers: { 'Content-Length': Buffer.byteLength(csr) } });
  post.end(csr);
  const [answer] = await once(post, 'response');
  const body = await text(answer);
  if (answer.statusCode !== 200) throw new Error(`POST /sign was answered with ${answer.statusCode}: ${body.trim()}`);
}
