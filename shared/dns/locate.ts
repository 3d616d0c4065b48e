import { IssuanceError } from '../base/errors.ts';
import { isInside, lowestZone, withParents } from '../base/identifier.ts';
import type { DnsMessage } from './message.ts';
import type { Ask } from './query.ts';
import { cnameOf, findZone, zoneOf } from './zone.ts';

/** The name and the zone to write a record to. */
export type Place = { name: string; zone: string };

export type LocateParts = {
  /** Asks the server that is to be updated. */
  ask: Ask;
  /** Asks about names that the server does not hold. */
  resolve: Ask;
  /** The zones to write to; where empty, the zone is looked up. */
  zones: readonly string[];
  /** The server's name in messages. */
  server: string;
};

const LONGEST_CHAIN = 8;

/**
 * Finds where to write a record that is looked for at `name`: follows CNAMEs, and finds the zone that the
 * server holds there.
 *
 * @throws IssuanceError `misconfigured` when the server holds no such zone, `unavailable` when no server
 *   answers
 */
export async function locate(name: string, parts: LocateParts, signal: AbortSignal): Promise<Place> {
  let at = name;
  for (let step = 0; step < LONGEST_CHAIN; step++) {
    // Without a CNAME the negative answer shows the zone (RFC 2308 section 3).
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

/**
 * Whether a CNAME comes from a wildcard. A record of the name's own replaces it (RFC 4592 section 3.3.1), so
 * it is not followed.
 */
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
