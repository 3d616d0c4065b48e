import type { IssuanceError } from '../base/errors.ts';
import { isNumber, isText, optional, parseValue, type Store, shapeOf } from '../base/redis.ts';
import {
  type InventoryEntry,
  type InventoryFacts,
  type Place,
  parseEntry,
  parseFacts,
  type Sample,
  sampleOf,
  shortHash,
  toSample,
} from './entry.ts';

/** What became of a certificate: when, in milliseconds since the epoch, and who or what did it. */
export type Note = {
  at: number;
  /** How the client or the operator was known; of `superseded`, the serial number of what follows it. */
  by?: string | undefined;
  /** Its address. */
  client?: string | undefined;
};

const isNote = shapeOf<Note>({ at: isNumber, by: optional(isText), client: optional(isText) });

export const noteKinds = ['fetched', 'revoked', 'superseded', 'forgotten'] as const;
export type NoteKind = (typeof noteKinds)[number];

type Notes = { [kind in NoteKind]?: Note };

export type ListedCertificate = InventoryFacts & Notes;
export type InventoriedCertificate = InventoryEntry & Notes;

type InventoryKeys = {
  /** A hash: by id, what `formatEntry` writes. */
  records: string;
  /** A sorted set of lines. */
  index: string;
  /** A hash: by issuer, a leaf against which the others are deflated. */
  samples: string;
  /** A hash: by names and block, which certificate for them began last. */
  newest: string;
  /** Hashes: by id, a note. */
  notes: { [kind in NoteKind]: string };
};

export function inventoryKeys(prefix: string): InventoryKeys {
  const key = (name: string) => `${prefix}:inventory:${name}`;
  const notes = Object.fromEntries(noteKinds.map(kind => [kind, key(kind)])) as InventoryKeys['notes'];
  return {
    records: key('records'),
    index: key('index'),
    samples: key('samples'),
    newest: key('newest'),
    notes,
  };
}

type InventoryRecords = {
  /** What each id has, and `undefined` where there is nothing, or only what is damaged. */
  readFacts(ids: readonly string[]): Promise<(ListedCertificate | undefined)[]>;
  /** The same, with the certificate itself, which says all of it. */
  readWhole(ids: readonly string[]): Promise<(InventoriedCertificate | undefined)[]>;
  /** The samples of their issuers: where there is none, one of the leaves is it from now on. */
  samplesFor(entries: readonly InventoryEntry[]): Promise<(entry: InventoryEntry) => Sample>;
};

/** @param damaged gets each value that cannot be read, which counts as absent then */
export function openInventoryRecords(
  { redis, prefix }: Store,
  damaged: (error: IssuanceError) => void,
): InventoryRecords {
  const { records, samples, notes } = inventoryKeys(prefix);
  const known = new Map<string, Buffer>();

  async function learnSamples(values: readonly (Buffer | null)[]) {
    const isNew = values.some(value => value && !known.has(sampleOf(value)));
    if (!isNew) return;
    for (const leaf of Object.values(await redis.hgetallBuffer(samples)))
      known.set(toSample(leaf).name, leaf);
  }

  function attempt<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      return void damaged(error as IssuanceError);
    }
  }

  function parseNotes(id: string, texts: readonly (string | null | undefined)[]): Notes {
    const noted = noteKinds.flatMap((kind, at) => {
      const text = texts[at];
      const note = text && attempt(() => parseValue(`${notes[kind]} ${id}`, text, isNote));
      return note ? [[kind, note]] : [];
    });
    return Object.fromEntries(noted);
  }

  /** @param prepare gives what parses each of the values */
  async function read<T extends InventoryFacts>(
    ids: readonly string[],
    prepare: (values: readonly (Buffer | null)[]) => Promise<(at: Place, value: Buffer) => T>,
  ): Promise<((T & Notes) | undefined)[]> {
    if (ids.length === 0) return [];
    const [values, ...texts] = await Promise.all([
      redis.hmgetBuffer(records, ...ids),
      ...noteKinds.map(kind => redis.hmget(notes[kind], ...ids)),
    ]);
    const parse = await prepare(values);
    return ids.map((id, at) => {
      const value = values[at];
      const parsed = value && attempt(() => parse({ key: `${records} ${id}`, id }, value));
      if (!parsed) return undefined;
      const ofId = texts.map(ofKind => ofKind[at]);
      return { ...parsed, ...parseNotes(id, ofId) };
    });
  }

  const parseWhole = (at: Place, value: Buffer) =>
    parseEntry(at, value, known.get(sampleOf(value)) ?? Buffer.alloc(0));

  return {
    readFacts: ids => read(ids, async () => parseFacts),
    readWhole: ids =>
      read(ids, async values => {
        await learnSamples(values);
        return parseWhole;
      }),
    async samplesFor(entries) {
      const ofIssuers = new Map(entries.map(({ issuer, leaf }) => [issuer, leaf]));
      const found = new Map<string, Sample>();
      for (const [issuer, leaf] of ofIssuers) {
        const field = shortHash(issuer);
        await redis.hsetnx(samples, field, leaf);
        found.set(issuer, toSample((await redis.hgetBuffer(samples, field)) ?? leaf));
      }
      return ({ issuer, leaf }) => found.get(issuer) ?? toSample(leaf);
    },
  };
}
