import { IssuanceError } from '../base/errors.ts';
import { isInside } from '../base/host-name.ts';
import type { DnsMessage } from './message.ts';
import { lowestZone, withParents } from './name.ts';
import type { Ask } from './query.ts';
import { cnameOf, findZone, zoneOf } from './zone.ts';

/** Where a record is to be written. */
export type Place = { name: string; zone: string };

export type LocateParts = {
  /** Of the server that is to be updated. */
  ask: Ask;
  /** What is asked for names that the server does not hold. */
  resolve: Ask;
  /** The zones to write to; found where empty. */
  zones: readonly string[];
  /** What messages call the server. */
  server: string;
};

const LONGEST_CHAIN = 8;

/**
 * Finds where a record that is looked for at `name` has to be written: where CNAMEs lead, and the zone that the server
 * holds there.
 *
 * @throws IssuanceError `misconfigured` when the server holds no such zone, `unavailable` when nobody could be asked
 */
export async function locate(name: string, parts: LocateParts, signal: AbortSignal): Promise<Place> {
  let at = name;
  for (let step = 0; step < LONGEST_CHAIN; step++) {
    // Where there is none, the negative answer shows the zone (RFC 2308 section 3).
    const reply = await parts.ask(at, 'CNAME', signal);
    const target = await findTarget(at, reply, parts, signal);
    if (target === undefined) return { name: at, zone: await chooseZone(at, reply, parts, signal) };
    at = target;
  }
  throw new IssuanceError('misconfigured', `${name} is a CNAME that leads on and on`);
}

async function findTarget(at: string, reply: DnsMessage, { ask, resolve }: LocateParts, signal: AbortSignal) {
  if (!reply.authoritative) return cnameOf(await resolve(at, 'CNAME', signal), at);
  const target = cnameOf(reply, at);
  return target === undefined || (await isWildcards(at, target, ask, signal)) ? undefined : target;
}

/** A CNAME out of `*.example.org` gives way to a record of the name's own (RFC 4592 section 3.3.1), so it is not followed. */
async function isWildcards(at: string, target: string, ask: Ask, signal: AbortSignal): Promise<boolean> {
  for (const parent of withParents(at).slice(1)) {
    const wildcard = `*.${parent}`;
    if (cnameOf(await ask(wildcard, 'CNAME', signal), wildcard) === target) return true;
  }
  return false;
}

async function chooseZone(
  at: string,
  reply: DnsMessage,
  parts: LocateParts,
  signal: AbortSignal,
): Promise<string> {
  const { zones, server } = parts;
  if (zones.length > 0) {
    const zone = lowestZone(at, zones);
    if (zone !== undefined) return zone;
    throw new IssuanceError(
      'misconfigured',
      `${at} lies in no zone that is to be updated (${zones.join(', ')})`,
    );
  }
  const zone = reply.authoritative
    ? (zoneOf(reply, at) ?? (await findZone(at, parts.ask, signal)))
    : undefined;
  if (zone !== undefined) return zone;
  const delegation = reply.authorities.find(record => record.type === 'NS' && isInside(at, record.name));
  const why = delegation ? `it delegates ${delegation.name} to others` : `it answers ${reply.rcode}`;
  throw new IssuanceError('misconfigured', `DNS server ${server}: it holds no zone for ${at}, ${why}`);
}
