import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { startQuarry } from '../support/quarry.ts';
import type { ClientName, FromClient, ToClient } from './client-program.ts';
import type { Ground } from './ground.ts';
import type { OpenWay, Way } from './signer.ts';

/**
 * A client of one process, beside a responder of Quarry's, so that the CA's validations cost the same on all
 * ways. A process of its own and a new one each time, as Quarry's are: one that has run before is faster by
 * far.
 */
export function forkedWay(name: ClientName): OpenWay {
  return async (stack, ground) => {
    const responder = stack.use(await startQuarry('responder', ground.ini));
    const client = await forkClient(stack, ground, name);
    return { ...client, pids: [responder.pid, ...client.pids] };
  };
}

/** The client alone, where there is a responder already. */
export async function forkClient(
  stack: AsyncDisposableStack,
  ground: Ground,
  name: ClientName,
): Promise<Way> {
  const spec = { iniFile: ground.iniFile, redisUrl: ground.redis.url, ...ground.ca };
  // It ends by itself when this process does: its channel closes then.
  const child = fork(join(import.meta.dirname, 'client-program.ts'), [name, JSON.stringify(spec)]);
  const exited = once(child, 'exit');
  stack.defer(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const orders = new Map<number, PromiseWithResolvers<void>>();
  const ready = Promise.withResolvers<void>();
  child.on('message', (message: FromClient) => {
    if ('ready' in message) return ready.resolve();
    const order = orders.get(message.id);
    if (message.error === undefined) order?.resolve();
    else order?.reject(new Error(message.error));
  });
  exited.then(() => ready.reject(new Error(`the ${name} client ended before it was ready`)));
  await ready.promise;

  let last = 0;
  return {
    pids: [child.pid ?? 0],
    async sign(csr) {
      const id = ++last;
      const order = Promise.withResolvers<void>();
      orders.set(id, order);
      child.send({ id, csr } satisfies ToClient);
      await order.promise.finally(() => orders.delete(id));
    },
  };
}
