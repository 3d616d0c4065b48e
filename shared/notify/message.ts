import type { EventKind } from './notify-section.ts';

/** Something that went wrong. It is one event until it is mended, however many processes run into it. */
export type NotifyEvent = {
  kind: EventKind;
  /**
   * What it is about, such as `stored/disk/4f…`, `profile/web/www.example.org` or a limit's key; the same
   * each time.
   */
  subject: string;
  /** The names that it concerns, for people. */
  names: string[];
  /** What went wrong, in one line: no secrets. */
  detail: string;
  /** For `expires-soon` alone: days until the certificate expires, negative after that. */
  daysLeft?: number;
};

/** What people are notified of; the same for all receivers and for every attempt to reach them. */
export type Message = Omit<NotifyEvent, 'kind'> & {
  kind: EventKind | 'test';
  /** The message's own id: a receiver that gets it twice may drop one. */
  id: string;
  /** The event's id, which receivers know by this name: messages that share it belong together. */
  matter: string;
  /** When it was found, in milliseconds since the epoch. */
  at: number;
};

/** The id of a delivery, the same for each attempt; it holds letters, digits, `-` and `_` only. */
export function deliveryId({ id }: Message, block: string): string {
  return `${id}-${Buffer.from(block).toString('base64url')}`;
}

/**
 * The message for webhooks and commands: an object on one line. `text` is what chat services show of a post.
 */
export function toJson({ id, matter, kind, subject, names, detail, daysLeft, at }: Message): string {
  const title = toTitle({ kind, names, daysLeft });
  const text = `${title}: ${detail}`;
  const time = new Date(at).toISOString();
  return `${JSON.stringify({ id, matter, kind, title, text, subject, names, detail, daysLeft, at: time })}\n`;
}

/** What has happened, and to which names; short enough for a subject line. */
export function toTitle({
  kind,
  names,
  daysLeft = 0,
}: Pick<Message, 'kind' | 'names'> & { daysLeft?: number | undefined }): string {
  const [first, ...more] = names;
  const whom =
    first === undefined ? '' : more.length === 0 ? `: ${first}` : `: ${first} and ${more.length} more`;
  switch (kind) {
    case 'renewal-failed':
      return `renewal failed${whom}`;
    case 'expires-soon':
      return `${toDays(daysLeft)}${whom}`;
    case 'renewed-not-fetched':
      return `renewed but not fetched${whom}`;
    case 'renewal-explained':
      return `the CA explains when to renew${whom}`;
    case 'account-paused':
      return `account paused${whom}`;
    case 'trail-unsealed':
      return 'events of the trail wait in Redis';
    case 'storage-failed':
      return 'a storage does not take certificates';
    case 'test':
      return 'this is a test';
  }
}

/** Rounds down: a certificate with 2.9 days left must not look as if it had three. */
function toDays(left: number): string {
  if (left <= 0) return 'has expired';
  if (left < 1) return 'expires in less than a day';
  return left < 2 ? 'expires in a day' : `expires in ${Math.floor(left)} days`;
}

/** The message as plain text, for people. */
export function toText({ kind, names, detail, subject, at, matter, daysLeft }: Message): string {
  const lines = [
    `${toTitle({ kind, names, daysLeft })}`,
    '',
    detail,
    '',
    ...(names.length > 1 ? ['Names:', ...names.map(name => `  ${name}`), ''] : []),
    `What:   ${subject}`,
    `Found:  ${new Date(at).toISOString()}`,
    `Event:  ${matter}`,
  ];
  return `${lines.join('\n')}\n`;
}
