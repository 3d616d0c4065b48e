import type { MatterKind } from './notify-section.ts';

/** Something that went wrong, and stays so until it is mended, however often somebody runs into it. */
export type Matter = {
  kind: MatterKind;
  /** What it is about, the same each time, such as `stored/disk/4f…`, `profile/web/www.example.org` or a limit's key. */
  subject: string;
  /** The names concerned, for people. */
  names: string[];
  /** What went wrong, in one line: no secrets. */
  detail: string;
  /** Of `expires-soon`: days until the certificate ends, negative once it has. */
  daysLeft?: number;
};

/** What is told of a matter; the same for all who are told, and for every attempt to tell them. */
export type Message = Omit<Matter, 'kind'> & {
  kind: MatterKind | 'test';
  /** Of this message: whoever gets it twice may drop one. */
  id: string;
  /** Of the matter: messages that share it belong together. */
  matter: string;
  /** When it was found, in milliseconds since the epoch. */
  at: number;
};

/** Tells a delivery from all others, and is the same whenever it is tried; holds letters, digits, `-` and `_` only. */
export function deliveryId({ id }: Message, block: string): string {
  return `${id}-${Buffer.from(block).toString('base64url')}`;
}

/** What webhooks and commands are given: an object on one line. `text` is what chat services show of a post. */
export function toJson({ id, matter, kind, subject, names, detail, daysLeft, at }: Message): string {
  const title = toTitle({ kind, names, daysLeft });
  const text = `${title}: ${detail}`;
  const time = new Date(at).toISOString();
  return `${JSON.stringify({ id, matter, kind, title, text, subject, names, detail, daysLeft, at: time })}\n`;
}

/** What has happened to whom, short enough for a subject line. */
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
    case 'test':
      return 'this is a test';
  }
}

/** Whole days, as a certificate with 2.9 days left is not to look as if it had three. */
function toDays(left: number): string {
  if (left <= 0) return 'has expired';
  if (left < 1) return 'expires in less than a day';
  return left < 2 ? 'expires in a day' : `expires in ${Math.floor(left)} days`;
}

/** For people. */
export function toText({ kind, names, detail, subject, at, matter, daysLeft }: Message): string {
  const lines = [
    `${toTitle({ kind, names, daysLeft })}`,
    '',
    detail,
    '',
    ...(names.length > 1 ? ['Names:', ...names.map(name => `  ${name}`), ''] : []),
    `What:   ${subject}`,
    `Found:  ${new Date(at).toISOString()}`,
    `Matter: ${matter}`,
  ];
  return `${lines.join('\n')}\n`;
}
