import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import type { TrailEvent } from '../../shared/trail/event.ts';
import type { Trail } from '../../shared/trail/trail.ts';

/** What the trail hears of a request that got nothing. */
export type Refusal = Pick<TrailEvent, 'names' | 'block' | 'by' | 'client' | 'request' | 'detail'>;

export type Refusals = AsyncDisposable & {
  /** Resolves once the event is written or counted. Never rejects: a refusal stays one. */
  note(refusal: Refusal): Promise<void>;
};

const WINDOW = 1_000;
/** Events of one window; what comes from further clients is one more event together. */
const MOST_CLIENTS = 50;
const LONGEST_TEXT = 500;
const MOST_NAMES = 100;

/**
 * Writes refusals so that nobody can flood the trail by them: of one client, which is an address and what the
 * auth blocks know it by, the first of a second is an event, and the others of that second are one together,
 * with their count. A count that cannot be written is kept for the next second.
 */
export function openRefusals(trail: Pick<Trail, 'write'>, clock: Clock, log: Log): Refusals {
  /** By the client: how many came after the one that was written, and the last of them. */
  let counted = new Map<string, { count: number; last: Refusal }>();
  let timer: NodeJS.Timeout | undefined;

  const write = (refusal: Refusal, more: { count?: number } = {}) =>
    trail.write({ at: clock.now(), event: 'refused', ...limit(refusal), ...more });

  async function flush(): Promise<void> {
    const those = counted;
    counted = new Map();
    timer = undefined;
    for (const [who, { count, last }] of those) {
      if (count === 0) continue;
      await write(last, { count }).catch(error => {
        log.debug({ reason: describeError(error) }, 'refusals cannot be written yet');
        add(who, last, count);
      });
    }
  }

  function add(who: string, last: Refusal, count: number): void {
    timer ??= setTimeout(flush, WINDOW).unref();
    counted.set(who, { count: (counted.get(who)?.count ?? 0) + count, last });
  }

  return {
    async note(refusal) {
      const { client = '', block = '', by = '' } = refusal;
      const who = [client, block, by].join('\n');
      const isKnown = counted.has(who);
      if (!isKnown && counted.size >= MOST_CLIENTS) return add(OTHERS, { detail: OF_MANY }, 1);
      add(who, refusal, isKnown ? 1 : 0);
      if (!isKnown) await write(refusal).catch(() => add(who, refusal, 1));
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

function limit({ names, block, by, detail, ...rest }: Refusal): Refusal {
  const cut = (text: string | undefined) => text?.slice(0, LONGEST_TEXT);
  return { names: names?.slice(0, MOST_NAMES), block: cut(block), by: cut(by), ...rest, detail: cut(detail) };
}

/** Who asked, by the auth blocks that know the client; nobody where there are none. */
export function toAsker(blocks: readonly { name: string; by: string }[]): Pick<Refusal, 'block' | 'by'> {
  if (blocks.length === 0) return {};
  const list = (texts: string[]) => [...new Set(texts)].join(', ');
  return { block: list(blocks.map(({ name }) => name)), by: list(blocks.map(({ by }) => by)) };
}

/** Whether an answer says that a client may not have what it asks for, or not now. */
export const isRefusal = (status: number) => [403, 409, 415, 429].includes(status);
