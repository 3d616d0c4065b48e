import { renewalInfoId } from '../../../shared/acme/renewal-info.ts';
import { openSeals } from '../../../shared/admission/hmac.ts';
import { systemClock } from '../../../shared/base/basics.ts';
import { openSecret } from '../../../shared/base/installation.ts';
import { closeRedis, openRedis } from '../../../shared/base/open-redis.ts';
import { openSignQueue, type SignQueue } from '../../../shared/queue/sign-queue.ts';
import type { SignJobData, SignResult } from '../../../shared/queue/sign-records.ts';
import { makeCsr } from '../../support/csr.ts';
import type { Fleet } from '../../support/fleet.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { waitUntil } from '../../support/wait-until.ts';
import type { Post } from './orders.ts';

/**
 * The `sign` queue of a fleet, or of another one over the same Redis, as whoever enqueues renewals has it.
 */
export async function openQueue(
  { redis: { url }, secretFile }: Fleet,
  prefix = '{quarry}',
): Promise<SignQueue> {
  const redis = openRedis({ url: url }, 'impatient', quietLog);
  await waitUntil('the queue to reach Redis', () => redis.status === 'ready');
  const queue = openSignQueue({
    ...{ store: { redis, prefix }, redisAddress: { url }, clock: systemClock, log: quietLog },
    seals: openSeals(await openSecret(secretFile, quietLog)),
  });
  return {
    ...queue,
    async [Symbol.asyncDispose]() {
      await queue[Symbol.asyncDispose]();
      closeRedis(redis);
    },
  };
}

/** A renewal under way, with the answer that a client would get. */
export async function renew(queue: SignQueue, name: string, data: Partial<SignJobData>): Promise<Post> {
  const csr = await makeCsr({ names: [name] });
  const jobId = await queue.enqueue({
    csr: csr.csrPem,
    identifiers: [{ type: 'dns', value: name }],
    accounts: [{ account: 'default' }],
    solvers: ['http'],
    storage: 'none',
    block: 'all',
    requestId: `renewal of ${name}`,
    ...data,
  });
  const result = queue.result(jobId, new AbortController().signal);
  return { ...csr, names: [name], answer: result.then(toAnswer) };
}

/** What names a certificate in `replaces`. */
export async function replacing({ answer }: Post): Promise<string> {
  const { body } = await answer;
  return renewalInfoId(body.slice(0, body.indexOf('-----END CERTIFICATE-----') + 25)) ?? '';
}

function toAnswer(result: SignResult | undefined) {
  const issued = result?.outcome === 'issued';
  const body = issued ? result.chain : JSON.stringify(result?.error);
  return { status: issued ? 200 : 500, headers: {}, body };
}
