import { randomUUID } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/redis.ts';
import { deliveryId, type Matter, type Message } from '../notify/message.ts';
import type { MatterKind, NotifyConfig } from '../notify/notify-section.ts';
import { openQueue } from './bullmq.ts';

export const NOTIFY_QUEUE = 'notify';

/**
 * What a job of the queue carries: one message for one notify block, by its name, as that may hold secrets.
 */
export type Delivery = { block: string; message: Message };

/**
 * The telling of what went wrong: one message per matter, however often it is told and by however many
 * processes.
 */
export type Notices = AsyncDisposable & {
  /**
   * Has a matter told to all notify blocks that want its kind, unless it was told already and has not ended
   * since. One that `expires-soon` is told anew with 14, 7, 3 and 1 days left and when it has ended, and not
   * before. Never rejects: what tells has more important things to do.
   */
  tell(matter: Matter): Promise<void>;
  /**
   * Forgets matters of a subject that are over, so that they are told anew when they come again. Never
   * rejects.
   */
  ended(subject: string, kinds: readonly MatterKind[]): Promise<void>;
};

/** A matter that nobody has spoken of for so long is forgotten. */
const MATTER_LIFE = 30 * 24 * 3_600_000;
/** Tried for about seventeen hours: 15 seconds, 30 seconds, …, 8.5 hours. */
const ATTEMPTS = { attempts: 13, backoff: { type: 'exponential', delay: 15_000, jitter: 0.2 } };
/** An id that is kept keeps a second delivery of the same message away. */
const KEPT = {
  removeOnComplete: { age: 24 * 3_600, count: 10_000 },
  removeOnFail: { age: 7 * 24 * 3_600, count: 1_000 },
};
/** Of details, which may hold whatever a CA has to say. */
const LONGEST_DETAIL = 4_000;

/**
 * KEYS: the matter. ARGV: a new id, how urgent (less is more), how long it is kept. A matter is written as
 * its id, how urgent it was when it was told last, and whether all deliveries of that are in the queue.
 * Answers id and urgency of what is to be told; a process that died before its deliveries were in the queue
 * has them made by the next one.
 */
const CLAIM = `
local told = redis.call('GET', KEYS[1])
local id, urgency, state = string.match(told or '', '^(%S+) (%S+) (%S+)$')
if id and tonumber(urgency) <= tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  if state == 'told' then return false end
  return {id, urgency}
end
id = id or ARGV[1]
redis.call('SET', KEYS[1], id .. ' ' .. ARGV[2] .. ' begun', 'PX', ARGV[3])
return {id, ARGV[2]}`;

const CONFIRM = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] .. ' begun' then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' told', 'KEEPTTL')
return 1`;

export function openNotices(
  blocks: readonly NotifyConfig[],
  { store, clock, log }: { store: Store; clock: Clock; log: Log },
): Notices {
  const { redis, prefix } = store;
  const queue = openQueue<Delivery>(NOTIFY_QUEUE, { store, log });

  async function tell(matter: Matter): Promise<void> {
    const wanting = blocks.filter(({ kinds }) => kinds.includes(matter.kind));
    const urgency = urgencyOf(matter);
    if (wanting.length === 0 || urgency === undefined) return;
    const key = keyOf(prefix, matter.kind, matter.subject);
    const claimed = await redis.eval(CLAIM, 1, key, randomUUID(), urgency, MATTER_LIFE);
    if (claimed === null) return;
    const [id, step] = claimed as [string, string];
    const detail = matter.detail
      .replace(/[\p{C}\s]+/gu, ' ')
      .trim()
      .slice(0, LONGEST_DETAIL);
    const message: Message = { ...matter, detail, id: `${id}-${step}`, matter: id, at: clock.now() };
    await queue.addBulk(
      wanting.map(({ name }) => ({
        name: 'tell',
        data: { block: name, message },
        opts: { jobId: deliveryId(message, name), ...ATTEMPTS, ...KEPT },
      })),
    );
    await redis.eval(CONFIRM, 1, key, `${id} ${step}`);
    log.info(
      { matter: id, kind: matter.kind, subject: matter.subject, to: wanting.map(({ name }) => name) },
      'told',
    );
  }

  const quietly = (what: string, act: () => Promise<unknown>) =>
    act().then(
      () => {},
      error => log.warn({ reason: describeError(error) }, what),
    );

  return {
    tell: matter => quietly('a matter cannot be told', () => tell(matter)),
    ended: (subject, kinds) =>
      quietly('an ended matter cannot be forgotten', () => forgetMatters(store, subject, kinds)),
    [Symbol.asyncDispose]: () => queue.close(),
  };
}

/** What `ended` does, for those who tell nothing. */
export async function forgetMatters(
  { redis, prefix }: Store,
  subject: string,
  kinds: readonly MatterKind[],
): Promise<void> {
  if (kinds.length > 0) await redis.del(kinds.map(kind => keyOf(prefix, kind, subject)));
}

const keyOf = (prefix: string, kind: MatterKind, subject: string) => `${prefix}:told:${kind}:${subject}`;

const STEPS = [0, 1, 3, 7, 14];

/** Fewer days left are more urgent; `undefined`: not to be told yet. */
function urgencyOf({ kind, daysLeft = 0 }: Matter): number | undefined {
  return kind === 'expires-soon' ? STEPS.find(days => daysLeft <= days) : 0;
}
