import { domainToASCII } from 'node:url';
import { toDomainGlob } from '../admission/admit.ts';
import type { IssuanceError } from '../base/errors.ts';
import type { Store } from '../base/redis.ts';
import {
  fromSortedName,
  globPrefix,
  globText,
  idOfLine,
  kindPrefix,
  type LineKind,
  namePrefix,
  rangeOf,
  readName,
  serialPrefix,
  sortedNames,
} from './lines.ts';
import {
  type InventoriedCertificate,
  inventoryKeys,
  type ListedCertificate,
  type Note,
  openInventoryRecords,
} from './records.ts';

export type { InventoriedCertificate, ListedCertificate, Note } from './records.ts';

/** Which certificates are wanted; all where nothing is said. */
export type Wanted = {
  /** A name of theirs matches it, as Python's fnmatch has it. */
  glob?: string | undefined;
  block?: string | undefined;
  /** Only those that are revoked. */
  revoked?: boolean | undefined;
};

/** A part of what is wanted, in the order of names, domains before all below them. */
export type Page = {
  certificates: ListedCertificate[];
  /** Where the next page begins; `undefined` behind the last one. */
  next: string | undefined;
};

/** Every certificate that Quarry has got and that has not ended. */
export type Inventory = {
  /**
   * @param limit how many certificates there are in the page, at most
   * @param after the `next` of the page before, whatever has come and gone since
   */
  page(wanted: Wanted, limit: number, after?: string): Promise<Page>;
  /**
   * Those of a name, spelled out, or of a serial number in hex, with the certificate itself; colons in the
   * number do not matter.
   */
  find(nameOrSerial: string): Promise<InventoriedCertificate[]>;
};

/**
 * What follows a certificate, and since when. One that a client has fetched since is in use beside the other
 * one: several hosts may have keys of their own for the same names.
 */
export function supersededBy({
  superseded,
  fetched,
}: Pick<ListedCertificate, 'superseded' | 'fetched'>): Note | undefined {
  return superseded && fetched && fetched.at > superseded.at ? undefined : superseded;
}

/** A look takes Redis less than a millisecond. */
const LINES_AT_ONCE = 1_000;
/** Of one name, or of one serial number. */
const MOST_FOUND = 1_000;

/** @param damaged gets each value that cannot be read, which is passed over then; by default it is thrown */
export function openInventory(
  store: Store,
  damaged: (error: IssuanceError) => void = error => {
    throw error;
  },
): Inventory {
  const { redis } = store;
  const { index } = inventoryKeys(store.prefix);
  const records = openInventoryRecords(store, damaged);

  /** Those that some lines lead to, up to so many, and the line of the last one. */
  async function follow(lines: readonly string[], { kind, isWanted }: Search, limit: number) {
    const found: { line: string; certificate: ListedCertificate }[] = [];
    for (let at = 0; at < lines.length && found.length < limit; ) {
      const some = lines.slice(at, at + limit - found.length);
      at += some.length;
      const read = await records.readFacts(some.map(idOfLine));
      for (const [index, certificate] of read.entries()) {
        const line = some[index] ?? '';
        if (certificate && isWanted(certificate, readName(kind, line))) found.push({ line, certificate });
      }
    }
    return found;
  }

  return {
    async page(wanted, limit, after) {
      const search = toSearch(wanted);
      const { kind, prefix, text, matches } = search;
      let [from, to] = rangeOf(prefix);
      if (after !== undefined) from = `(${kindPrefix(kind)}${parseCursor(after)}`;
      const found: Awaited<ReturnType<typeof follow>> = [];
      for (let count = Math.min(limit, LINES_AT_ONCE); ; count = LINES_AT_ONCE) {
        const lines = await redis.zrangebylex(index, from, to, 'LIMIT', 0, count);
        const matching = lines.filter(line => line.includes(text) && matches(readName(kind, line)));
        found.push(...(await follow(matching, search, limit - found.length)));
        const certificates = found.map(({ certificate }) => certificate);
        const last = found.at(-1)?.line ?? '';
        if (found.length === limit) return { certificates, next: toCursor(kind, last) };
        if (lines.length < count) return { certificates, next: undefined };
        from = `(${lines.at(-1)}`;
      }
    },
    async find(nameOrSerial) {
      const name = domainToASCII(nameOrSerial) || nameOrSerial.toLowerCase();
      const serial = nameOrSerial.replaceAll(':', '');
      for (const prefix of [namePrefix(name), serialPrefix(serial)]) {
        const lines = await redis.zrangebylex(index, ...rangeOf(prefix), 'LIMIT', 0, MOST_FOUND);
        const found = await records.readWhole(lines.map(idOfLine));
        if (lines.length > 0) return found.filter(one => one !== undefined);
      }
      return [];
    },
  };
}

type Search = {
  kind: LineKind;
  /** Of all lines that may lead to what is wanted. */
  prefix: string;
  /** Is in all of them. */
  text: string;
  matches(sortedName: string): boolean;
  /** Of its names that match, only the first in order leads to a certificate: it is to come once. */
  isWanted(certificate: ListedCertificate, sortedName: string): boolean;
};

function toSearch({ glob, block, revoked }: Wanted): Search {
  const kind: LineKind = revoked
    ? { of: 'revoked' }
    : block === undefined
      ? { of: 'names' }
      : { of: 'block', block };
  const matchesName = glob === undefined ? () => true : toDomainGlob(glob);
  const matches = (sortedName: string) => matchesName(fromSortedName(sortedName));
  return {
    kind,
    prefix: kindPrefix(kind) + (glob === undefined ? '' : globPrefix(glob)),
    text: glob === undefined ? '' : globText(glob),
    matches,
    isWanted: (certificate, sortedName) =>
      (block === undefined || certificate.block === block) &&
      sortedNames(certificate.names).find(matches) === sortedName,
  };
}

const toCursor = (kind: LineKind, line: string) =>
  Buffer.from(line.slice(kindPrefix(kind).length)).toString('base64url');

const parseCursor = (cursor: string) => Buffer.from(cursor, 'base64url').toString();
