import { readFileSync } from 'node:fs';
import type { ConnectionRoom } from '../../shared/base/role.ts';

// File descriptors: each connection takes one, and where none is left, a CA cannot be called and a challenge
// cannot be answered. So connections of others get what this process does not need itself.

/** Redis, listeners, files, programs, the admin listener's connections, and what Node itself has open. */
const OWN = 160;
/** Of an order, at most, at one time: to the CA, and to what is looked at before the CA looks. */
const PER_ORDER = 4;
/** With fewer for others, an operator is told. */
const USUAL_SPARE = 512;
/** What is open before anybody comes, of all roles together. */
const IDLE = 48;
/** From how many places a CA asks for the answer to a challenge, at one time. */
const PLACES = 5;

/**
 * How many clients are let in all the same, as the need is seldom as high as it may be; but no more than have
 * room for their orders, and for those who ask for the answers.
 */
const fewestClients = (limit: number) =>
  Math.min(Math.max(Math.floor((limit - IDLE) / (1 + PER_ORDER + PLACES)), 1), 16);

export type DescriptorNeeds = {
  /** Orders that this process drives at once; 0 without a worker. */
  concurrency: number;
  intake: boolean;
  /** Where challenges are answered; 0 without a responder. */
  listeners: number;
};

/**
 * Shares the descriptors of a process out: half of what it does not need itself for those who ask for
 * challenges' answers, and half for clients.
 *
 * @param limit of the process; `undefined` where nobody knows, which shares out any number
 * @returns `tooLow` is for an operator, in one line
 */
export function shareDescriptors(
  limit: number | undefined,
  { concurrency, intake, listeners }: DescriptorNeeds,
): { room: ConnectionRoom; tooLow: string | undefined } {
  if (limit === undefined) return { room: { clients: Infinity, perListener: Infinity }, tooLow: undefined };
  const own = OWN + PER_ORDER * concurrency;
  const spare = limit - own;
  const sides = (intake ? 1 : 0) + (listeners > 0 ? 1 : 0);
  const fewest = fewestClients(limit);
  const share = (among: number, least: number) => Math.max(Math.floor(spare / Math.max(among, 1)), least);
  const tooFew = `at most ${limit} files and connections may be open here, and Quarry may need ${own} itself`;
  const remedy = `allow ${own + 2 * USUAL_SPARE} or more (LimitNOFILE=, --ulimit nofile=, ulimit -Hn)`;
  return {
    room: { clients: share(sides, fewest), perListener: share(sides * listeners, PLACES * fewest) },
    tooLow: spare < USUAL_SPARE ? `${tooFew}: ${remedy}` : undefined,
  };
}

/** The limit of this process, which Node has raised as far as it may; `undefined` where nobody tells it. */
export function findDescriptorLimit(path = '/proc/self/limits'): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+)\s/m.exec(readFileSync(path, 'latin1')) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}
