import { randomUUID } from 'node:crypto';
import type { Clock, Log } from '../base/basics.ts';
import { describeError } from '../base/errors.ts';
import type { Live } from '../base/live.ts';
import {
  isNumber,
  isText,
  listOf,
  optional,
  runScript,
  type Store,
  shapeOf,
  toScript,
} from '../base/redis.ts';
import { deliveryId, type Message, type NotifyEvent } from '../notify/message.ts';
import type { EventKind, NotifyConfig } from '../notify/notify-section.ts';
import { openQueue } from './bullmq.ts';

export const NOTIFY_QUEUE = 'notify';

/** The data of a delivery job: a message, and the name of its notify block, which itself may hold secrets. */
export type Delivery = { block: string; message: Message };

export const isDelivery = shapeOf<Delivery>({
  block: isText,
  message: shapeOf<Message>({
    ...{ id: isText, matter: isText, kind: isText, subject: isText, names: listOf(isText), detail: isText },
    ...{ at: isNumber, daysLeft: optional(isNumber) },
  }),
});

/** Notifies people of events: one message per event, however many processes run into it and however often. */
export type Notices = AsyncDisposable & {
  /**
   * Sends an event to all notify blocks that want its kind, unless that was done already and the event has
   * not ended since. An `expires-soon` is sent when 14, 7, 3 and 1 days are left and when the certificate has
   * expired. Never rejects: a failure is logged, and the caller goes on.
   */
  notify(event: NotifyEvent): Promise<void>;
  /** Forgets events of a subject that are over: they are new when they come again. Never rejects. */
  ended(subject: string, kinds: readonly EventKind[]): Promise<void>;
};

/** An event is forgotten that no process has run into for so long. */
const EVENT_LIFE = 30 * 24 * 3_600_000;
/** About seventeen hours of attempts: after 15 seconds, 30 seconds, …, 8.5 hours. */
const ATTEMPTS = { attempts: 13, backoff: { type: 'exponential', delay: 15_000, jitter: 0.2 } };
/** While BullMQ keeps the id of a job, it refuses a second delivery of the same message. */
const KEPT = {
  removeOnComplete: { age: 24 * 3_600, count: 10_000 },
  removeOnFail: { age: 7 * 24 * 3_600, count: 1_000 },
};
/** A detail may hold any text of a CA's. */
const LONGEST_DETAIL = 4_000;

/**
 * KEYS: the event. ARGV: a new id, how urgent (less is more), how long the event is kept. Answers id and
 * urgency of the message to send, or nothing when it was sent already.
 *
 * An event is kept as its id, how urgent its last message was, and `told` once all deliveries of that are in
 * the queue. Where a process died before that, the next one enqueues them.
 */
const CLAIM = toScript(`
local kept = redis.call('GET', KEYS[1])
local id, urgency, state = string.match(kept or '', '^(%S+) (%S+) (%S+)$')
if id and tonumber(urgency) <= tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  if state == 'told' then return false end
  return {id, urgency}
end
id = id or ARGV[1]
redis.call('SET', KEYS[1], id .. ' ' .. ARGV[2] .. ' begun', 'PX', ARGV[3])
return {id, ARGV[2]}`);

/** All deliveries are in the queue. KEYS: the event. ARGV: id and urgency. */
const CONFIRM = toScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] .. ' begun' then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' told', 'KEEPTTL')
return 1`);

/** @param blocks those of the moment */
export function openNotices(
  blocks: Live<readonly NotifyConfig[]>,
  { store, clock, log }: { store: Store; clock: Clock; log: Log },
): Notices {
  const { redis, prefix } = store;
  const queue = openQueue<Delivery>(NOTIFY_QUEUE, { store, clock, log });

  async function notify(event: NotifyEvent): Promise<void> {
    const wanting = blocks.current.filter(({ kinds }) => kinds.includes(event.kind));
    const urgency = urgencyOf(event);
    if (wanting.length === 0 || urgency === undefined) return;
    const key = keyOf(prefix, event.kind, event.subject);
    const claimed = await runScript(redis, CLAIM, [key], [randomUUID(), urgency, EVENT_LIFE]);
    if (claimed === null) return;
    const [id, step] = claimed as [string, string];
    const detail = event.detail
      .replace(/[\p{C}\s]+/gu, ' ')
      .trim()
      .slice(0, LONGEST_DETAIL);
    const message: Message = { ...event, detail, id: `${id}-${step}`, matter: id, at: clock.now() };
    await queue.addBulk(
      wanting.map(({ name }) => ({
        name: 'deliver',
        data: { block: name, message },
        opts: { jobId: deliveryId(message, name), ...ATTEMPTS, ...KEPT },
      })),
    );
    await runScript(redis, CONFIRM, [key], [`${id} ${step}`]);
    log.info(
      { matter: id, kind: event.kind, subject: event.subject, to: wanting.map(({ name }) => name) },
      'notification enqueued',
    );
  }

  const quietly = (what: string, act: () => Promise<unknown>) =>
    act().then(
      () => {},
      error => log.warn({ reason: describeError(error) }, what),
    );

  return {
    notify: event => quietly('notification failed', () => notify(event)),
    ended: (subject, kinds) =>
      quietly('ended events cannot be forgotten', () => forgetEvents(store, subject, kinds)),
    [Symbol.asyncDispose]: () => queue.close(),
  };
}

/** Does what `ended` does, without a queue. */
export async function forgetEvents(
  { redis, prefix }: Store,
  subject: string,
  kinds: readonly EventKind[],
): Promise<void> {
  if (kinds.length > 0) await redis.del(kinds.map(kind => keyOf(prefix, kind, subject)));
}

const keyOf = (prefix: string, kind: EventKind, subject: string) => `${prefix}:told:${kind}:${subject}`;

const STEPS = [0, 1, 3, 7, 14];

/** Fewer days left are more urgent; `undefined`: it is too early for a message. */
function urgencyOf({ kind, daysLeft = 0 }: NotifyEvent): number | undefined {
  return kind === 'expires-soon' ? STEPS.find(days => daysLeft <= days) : 0;
}
