import type { Clock, Log } from '../base/basics.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { toHost } from '../base/host.ts';
import type { Identifier } from '../base/identifier.ts';
import type { Store } from '../base/redis.ts';
import type { Admission, AdmittingBlock, AuthBlock } from './admit.ts';
import { type Bucket, openBuckets } from './buckets.ts';

// How often the clients of an auth block may come (`[auth] rate` and `block-rate`).

/** A block that is left of a request, which says why names are refused that only one left out has. */
type LeftBlock = AuthBlock & { whyLate?(identifiers: Identifier[]): IssuanceError | undefined };

/**
 * Admission that also counts: it leaves out the blocks whose rate is used up, and refuses with `rateLimited`
 * where no other one is left. Only requests of clients that a block has verified count, so that no stranger
 * uses up anything. While Redis is away nothing is counted.
 */
export function withRates(
  admission: Admission,
  store: Store,
  { clock, log }: { clock: Clock; log: Log },
): Admission {
  const hasRate = ({ bounds }: { bounds?: AdmittingBlock['bounds'] }) => bounds?.rate ?? bounds?.blockRate;
  if (!admission.blocks.some(hasRate)) return admission;

  function refuseLate(blocks: LeftBlock[], identifiers: Identifier[]): void {
    const refusal = admission.find(blocks, identifiers) ? undefined : blocks[0]?.whyLate?.(identifiers);
    if (refusal) throw refusal;
  }

  const buckets = openBuckets(store);
  const waitsOf = (blocks: AdmittingBlock[], client: string) =>
    buckets.take(blocks.map(block => bucketsOf(block, client)));

  return {
    ...admission,
    async verified(blocks, request, body) {
      const verified = await admission.verified(blocks, request, body);
      const bounded = verified.filter(hasRate);
      const waits = await waitsOf(bounded, request.clientIp).catch(error => {
        log.debug({ reason: describeError(error) }, 'rates cannot be counted');
        return [];
      });
      const waitOf = (block: AdmittingBlock) => waits[bounded.indexOf(block)] ?? 0;
      const left = verified.filter(block => waitOf(block) === 0);
      if (left.length === 0) throw refuse(clock.now() + Math.min(...verified.map(waitOf)), verified);
      const late = verified.filter(block => waitOf(block) > 0);
      if (late.length === 0) return left;
      const until = clock.now() + Math.max(...late.map(waitOf));
      const whyLate = (identifiers: Identifier[]) => {
        const block = admission.find(late, identifiers);
        return block && refuse(until, [block]);
      };
      return left.map(block => ({ ...block, whyLate }));
    },
    holder(blocks, identifiers) {
      refuseLate(blocks, identifiers);
      return admission.holder(blocks, identifiers);
    },
    admit(blocks, identifiers) {
      refuseLate(blocks, identifiers);
      return admission.admit(blocks, identifiers);
    },
  };
}

function refuse(retryAfter: number, blocks: readonly AdmittingBlock[]): IssuanceError {
  const detail = 'too many requests of this client: post again later';
  return new IssuanceError('rateLimited', detail, { retryAfter, blocks });
}

function bucketsOf({ name, bounds }: AdmittingBlock, client: string): Bucket[] {
  const { rate, blockRate } = bounds ?? {};
  return [
    ...(rate ? [{ key: `rate:${name}@${toHost(client)}`, rate }] : []),
    ...(blockRate ? [{ key: `rate:${name}`, rate: blockRate }] : []),
  ];
}
