import { isIP } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { toTime } from '../../shared/base/to-time.ts';
import {
  type Inventory,
  type ListedCertificate,
  type Note,
  openInventory,
  type Page,
  supersededBy,
  type Wanted,
} from '../../shared/inventory/inventory.ts';
import { INVENTORY } from '../../shared/inventory/project.ts';
import { findWaiting } from '../../shared/trail/drain.ts';
import { type Command, type Io, needFiles, readOptions, splitWords, UsageError } from './command.ts';
import { openFleetRedis } from './fleet-redis.ts';

const OPTIONS = '[--json] [--revoked] [--block BLOCK] [--limit N] [--after CURSOR]';
/** What is written at once where all are wanted. */
const PART = 500;

/** `quarry certificates`: the inventory. */
export const certificatesCommand: Command = {
  usage: [`certificates ${OPTIONS} [GLOB] FILE…`],
  forms: [`certificates ${OPTIONS} FILE…`],
  summary:
    'every certificate that Quarry has got and that has not ended; GLOB is one of names, or a serial number',
  example: "quarry certificates --block web '*.example.org' main.ini",
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, {
      json: { type: 'boolean' },
      revoked: { type: 'boolean' },
      block: { type: 'string' },
      limit: { type: 'string' },
      after: { type: 'string' },
    });
    const { names, files } = await splitWords(positionals);
    if (names.length > 1) throw new UsageError(`one GLOB at most: ${names.join(' ')}`);
    const [glob] = names;
    const limit = readLimit(values.limit);
    // V8 would let garbage grow; how long a list takes matters less.
    setFlagsFromString('--optimize-for-size');
    using opened = await openFleetRedis(needFiles('certificates', files), env);
    const { block, revoked, after } = values;
    const inventory = openInventory(opened.store);
    const wanted = { glob, block, revoked };
    const pages = isSerial(glob) ? readFound(inventory, glob) : readPages(inventory, wanted, limit, after);
    const waiting = await findWaiting(opened.store, INVENTORY);
    const behind = waiting ? Math.max(0, Math.ceil((opened.clock.now() - waiting.since) / 1_000)) : 0;
    await (values.json ? writeJson : writeText)(pages, behind, write);
  },
};

/** A limit of its own is one page; else all pages are read, one after the other. */
async function* readPages(
  inventory: Inventory,
  wanted: Wanted,
  limit: number | undefined,
  after: string | undefined,
): AsyncIterable<Page> {
  for (let from = after; ; ) {
    const page = await inventory.page(wanted, limit ?? PART, from);
    yield limit === undefined ? { ...page, next: undefined } : page;
    if (limit !== undefined || page.next === undefined) return;
    from = page.next;
  }
}

async function* readFound(inventory: Inventory, serial: string): AsyncIterable<Page> {
  yield { certificates: await inventory.find(serial), next: undefined };
}

/** As openssl prints it, or without colons. */
const isSerial = (text: string | undefined): text is string =>
  text !== undefined && !isIP(text) && /^[0-9a-f]{2}(:?[0-9a-f]{2}){3,}$/i.test(text);

function readLimit(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new UsageError(`--limit ${text} is no number of certificates from 1 to 999999`);
}

/** @param behind seconds since the first event that is not in the inventory yet; 0 where all are */
async function writeText(pages: AsyncIterable<Page>, behind: number, write: Io['write']): Promise<void> {
  let any = false;
  for await (const { certificates, next } of pages) {
    if (certificates.length > 0) await write(`${certificates.map(toText).join('\n')}\n`);
    if (next !== undefined) await write(`there are more: --after ${next}\n`);
    any ||= certificates.length > 0;
  }
  if (!any) await write('there is no such certificate\n');
  if (behind > 0) await write(`what has happened in the last ${behind} s is not in here yet\n`);
}

async function writeJson(pages: AsyncIterable<Page>, behind: number, write: Io['write']): Promise<void> {
  let before = '{ "certificates": [\n';
  let cursor: string | undefined;
  for await (const { certificates, next } of pages) {
    cursor = next;
    if (certificates.length === 0) continue;
    await write(before + certificates.map(one => JSON.stringify(toJson(one), null, 2)).join(',\n'));
    before = ',\n';
  }
  const begin = before === ',\n' ? '\n' : before;
  await write(`${begin}],\n"next": ${JSON.stringify(cursor ?? null)}, "behind": ${behind} }\n`);
}

const ORIGINS = {
  post: 'ordered by a client',
  ahead: 'renewed ahead',
  shaman: 'got by a shaman profile',
  found: 'found in a storage',
};

function toText(certificate: ListedCertificate): string {
  const { names, serial, notBefore, notAfter, how, account, block, fetched } = certificate;
  const from = block === undefined ? '' : `, block "${block}"`;
  const by = account === undefined ? '' : `, account ${account}`;
  const lines = [
    names.join(', ') || 'no names but in its CN',
    `    serial ${serial}, valid from ${toTime(notBefore)} until ${toTime(notAfter)}`,
    `    ${ORIGINS[how]}${by}${from}`,
    fetched ? `    last fetched ${describe(fetched)}` : '    never fetched',
    ...describeState(certificate).map(line => `    ${line}`),
  ];
  return lines.join('\n');
}

function describeState({ revoked, forgotten, ...rest }: ListedCertificate): string[] {
  const superseded = supersededBy(rest);
  return [
    ...(revoked ? [`revoked ${describe(revoked)}`] : []),
    ...(forgotten ? [`forgotten ${describe(forgotten)}`] : []),
    ...(superseded ? [`superseded ${toTime(superseded.at)} by serial ${superseded.by}`] : []),
  ];
}

function describe({ at, by, client }: Note): string {
  return `${toTime(at)}${by === undefined ? '' : ` by ${by}`}${client === undefined ? '' : ` from ${client}`}`;
}

/** Times as RFC 3339 has them. */
function toJson(certificate: ListedCertificate) {
  const { names, serial, fingerprint, block, account, how, notBefore, notAfter } = certificate;
  const { fetched, revoked, forgotten } = certificate;
  const toNote = (note: Note | undefined) => (note ? { ...note, at: toTime(note.at) } : null);
  return {
    ...{ names, serial, fingerprint, block: block ?? null, account: account ?? null, how },
    ...{ notBefore: toTime(notBefore), notAfter: toTime(notAfter) },
    ...{ fetched: toNote(fetched), revoked: toNote(revoked), forgotten: toNote(forgotten) },
    superseded: toNote(supersededBy(certificate)),
  };
}
