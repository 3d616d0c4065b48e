import type { MatterKind } from '../config/notify.ts';

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
