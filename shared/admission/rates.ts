import { type Clock, describeError, IssuanceError, type Log } from '../base/basics.ts';
import { toHost } from '../base/host.ts';
import type { Identifier } from '../base/identifier.ts';
import { runScript, type Store, toScript } from '../base/redis.ts';
import type { Rate } from '../config/rate.ts';
import type { Admission, AdmittingBlock, AuthBlock } from './admit.ts';

// How often the clients of an auth block may come (`[auth] rate` and `block-rate`).

/**
 * Counts a request in every bucket of a block, or in none, for each block that has room. A bucket is the time
 * at which it will be full again, by Redis's clock.
 *
 * KEYS: the buckets. ARGV: of each the number of its block, from 1 on, its interval and its burst. Answers
 * for each block how many milliseconds it has no room for; 0 where it counted.
 */
const TAKE = toScript(`
local time, waits, full = redis.call('TIME'), {}, {}
local now = time[1] * 1000 + time[2] / 1000
for i, key in ipairs(KEYS) do
  local block, interval, burst = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local latest = now + burst * interval -- a time beyond it was written by a clock that was ahead
  full[i] = math.min(math.max(tonumber(redis.call('GET', key) or '0'), now), latest)
  local wait = math.ceil(math.max(full[i] - (burst - 1) * interval - now, 0))
  waits[block] = math.max(waits[block] or 0, wait)
end
for i, key in ipairs(KEYS) do
  if waits[tonumber(ARGV[3 * i - 2])] == 0 then
    local last = full[i] + tonumber(ARGV[3 * i - 1])
    redis.call('SET', key, string.format('%.3f', last), 'PX', string.format('%.0f', math.ceil(last - now)))
  end
end
return waits`);

/** A block that is left of a request, which says why names are refused that only one left out has. */
type LeftBlock = AuthBlock & { whyLate?(identifiers: Identifier[]): IssuanceError | undefined };

/**
 * Admission that also counts: it leaves out the blocks whose rate is used up, and refuses with `rateLimited`
 * where no other one is left. Only requests of clients that a block has verified count, so that no stranger
 * uses up anything. While Redis is away nothing is counted.
 */
export function withRates(
  admission: Admission,
  { redis, prefix }: Store,
  { clock, log }: { clock: Clock; log: Log },
): Admission {
  const hasRate = ({ bounds }: { bounds?: AdmittingBlock['bounds'] }) => bounds?.rate ?? bounds?.blockRate;
  if (!admission.blocks.some(hasRate)) return admission;

  function refuseLate(blocks: LeftBlock[], identifiers: Identifier[]): void {
    const refusal = admission.find(blocks, identifiers) ? undefined : blocks[0]?.whyLate?.(identifiers);
    if (refusal) throw refusal;
  }

  async function waitsOf(blocks: AdmittingBlock[], client: string): Promise<number[]> {
    const buckets = blocks.flatMap((block, index) =>
      bucketsOf(block, client).map(one => ({ ...one, index })),
    );
    if (buckets.length === 0) return [];
    const keys = buckets.map(({ key }) => `${prefix}:rate:${key}`);
    const figures = buckets.flatMap(({ index, rate: { period, count } }) => [
      index + 1,
      period / count,
      count,
    ]);
    return (await runScript(redis, TAKE, keys, figures)) as number[];
  }

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

function bucketsOf({ name, bounds }: AdmittingBlock, client: string): { key: string; rate: Rate }[] {
  const { rate, blockRate } = bounds ?? {};
  return [
    ...(rate ? [{ key: `${name}@${toHost(client)}`, rate }] : []),
    ...(blockRate ? [{ key: name, rate: blockRate }] : []),
  ];
}
