import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/basics.ts';
import type { TrailEvent } from '../../shared/trail/event.ts';
import type { Trail } from '../../shared/trail/trail.ts';

/** What the trail hears of a request that got nothing. */
type Refusal = Pick<TrailEvent, 'names' | 'client' | 'request' | 'detail'>;

export type Refusals = AsyncDisposable & {
  /** Resolves once the event is written or counted. Never rejects: a refusal stays one. */
  note(refusal: Refusal): Promise<void>;
};

const WINDOW = 1_000;
/** Events of one window; what comes from further addresses is one more event together. */
const MOST_ADDRESSES = 50;
const LONGEST_DETAIL = 500;
const MOST_NAMES = 100;

/**
 * Writes refusals so that nobody can flood the trail by them: of one address the first of a second is an
 * event, and the others of that second are one together, with their count. A count that cannot be written is
 * kept for the next second.
 */
export function openRefusals(trail: Pick<Trail, 'write'>, clock: Clock, log: Log): Refusals {
  /** By the address: how many came after the one that was written, and the last of them. */
  let counted = new Map<string, { count: number; last: Refusal }>();
  let timer: NodeJS.Timeout | undefined;

  const write = (refusal: Refusal, more: { count?: number } = {}) =>
    trail.write({ at: clock.now(), event: 'refused', ...limit(refusal), ...more });

  async function flush(): Promise<void> {
    const those = counted;
    counted = new Map();
    timer = undefined;
    for (const [address, { count, last }] of those) {
      if (count === 0) continue;
      await write(last, { count }).catch(error => {
        log.debug({ reason: describeError(error) }, 'refusals cannot be written yet');
        add(address, last, count);
      });
    }
  }

  function add(address: string, last: Refusal, count: number): void {
    timer ??= setTimeout(flush, WINDOW).unref();
    counted.set(address, { count: (counted.get(address)?.count ?? 0) + count, last });
  }

  return {
    async note(refusal) {
      const { client = '' } = refusal;
      const isKnown = counted.has(client);
      if (!isKnown && counted.size >= MOST_ADDRESSES) return add(OTHERS, { detail: OF_MANY }, 1);
      add(client, refusal, isKnown ? 1 : 0);
      if (!isKnown) await write(refusal).catch(() => add(client, refusal, 1));
    },
    async [Symbol.asyncDispose]() {
      clearTimeout(timer);
      await flush();
      clearTimeout(timer);
    },
  };
}

const OTHERS = 'others';
const OF_MANY = 'requests of many addresses within a second';

function limit({ names, detail, ...refusal }: Refusal): Refusal {
  return { ...refusal, names: names?.slice(0, MOST_NAMES), detail: detail?.slice(0, LONGEST_DETAIL) };
}

/** Whether an answer says that a client may not have what it asks for, or not now. */
export const isRefusal = (status: number) => [403, 409, 415, 429].includes(status);
