import { needingRedis } from '../base/basics.ts';
import { type Redis, runScript, type Store, toScript } from '../base/redis.ts';
import type { TrailEvent } from './event.ts';

/** The stream of events that are not sealed into files yet, and of the last ones where none are sealed. */
export const trailKey = (prefix: string) => `${prefix}:trail`;

export type Trail = {
  /**
   * Resolves once Redis has the event. All events of one turn of the event loop leave in one command.
   *
   * @throws IssuanceError `unavailable` when Redis cannot be reached
   */
  write(event: TrailEvent): Promise<void>;
  /** What a script that runs anyway appends to `trailKey`: the arguments of XADD after the key. */
  entryFor(event: TrailEvent): string[];
};

/** @param most how many events the stream keeps about, where nobody seals them; else all */
export function openTrail({ redis, prefix }: Store, { most }: { most?: number | undefined } = {}): Trail {
  const appendTogether = openAppendTogether(redis, trailKey(prefix), most);
  return {
    write: event => needingRedis(() => appendTogether(toFields(event))),
    entryFor: event => ['*', ...toFields(event)],
  };
}

/** The leaf has a field of its own: it is for the inventory, and not sealed. */
function toFields({ leaf, ...event }: TrailEvent): string[] {
  const fields = ['event', JSON.stringify(event)];
  return leaf === undefined ? fields : [...fields, 'leaf', leaf];
}

/** KEYS: the stream. ARGV: how many entries it keeps, 0 for all; of each, how many fields, and these. */
const APPEND = toScript(`
local at = 2
while at <= #ARGV do
  local last = at + 2 * ARGV[at]
  local entry = {'*', unpack(ARGV, at + 1, last)}
  if ARGV[1] ~= '0' then entry = {'MAXLEN', '~', ARGV[1], unpack(entry)} end
  redis.call('XADD', KEYS[1], unpack(entry))
  at = last + 1
end
return 1`);

type Waiting = { resolve(): void; reject(error: unknown): void };

/** Most of what a command costs does not depend on how many entries it has. */
function openAppendTogether(redis: Redis, key: string, most = 0): (fields: string[]) => Promise<void> {
  let entries: (string | number)[] = [];
  let waiting: Waiting[] = [];

  async function append() {
    const [appended, those] = [entries, waiting];
    [entries, waiting] = [[], []];
    try {
      await runScript(redis, APPEND, [key], [most, ...appended]);
      for (const { resolve } of those) resolve();
    } catch (error) {
      for (const { reject } of those) reject(error);
    }
  }

  return fields =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) setImmediate(append);
      entries.push(fields.length / 2, ...fields);
      waiting.push({ resolve, reject });
    });
}
