import type { Log } from '../base/basics.ts';
import { closeRedis, openRedis } from '../base/open-redis.ts';
import type { RedisAddress } from '../base/redis-address.ts';
import { movesChannel } from './moves.ts';
import { resultsChannel } from './sign-records.ts';

/** Hears of the jobs that end, and of the moves of others, whenever Redis can be reached. */
export function hearEnds(
  { redisAddress, prefix, log }: { redisAddress: RedisAddress; prefix: string; log: Log },
  on: {
    onMessage(channel: string, message: string): void;
    /** From now on every end will be heard of; before, ends were missed. */
    onListening(): void;
    onAway(): void;
  },
): Disposable {
  const connection = openRedis(redisAddress, 'patient', log.child({}, { level: 'silent' }));

  async function listen() {
    await connection.subscribe(resultsChannel(prefix), movesChannel(prefix));
    on.onListening();
  }

  connection.on('message', on.onMessage);
  connection.on('ready', () => {
    listen().catch(error => log.debug({ reason: String(error) }, 'results cannot be listened for'));
  });
  connection.on('close', on.onAway);
  return { [Symbol.dispose]: () => closeRedis(connection) };
}
