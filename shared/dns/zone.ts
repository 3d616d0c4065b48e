import { IssuanceError } from '../base/errors.ts';
import { isInside } from '../base/host-name.ts';
import type { DnsMessage } from './message.ts';
import { isName, withParents } from './name.ts';
import type { Ask } from './query.ts';

/**
 * The zone that a name lies in, found by asking for SOA records from the name upwards; never guessed from its labels.
 *
 * @param ask of a resolver, or of a server that is authoritative for the zone
 * @returns the zone's name, or `undefined` where nobody knows one
 */
export async function findZone(name: string, ask: Ask, signal: AbortSignal): Promise<string | undefined> {
  for (const at of withParents(name)) {
    const zone = zoneOf(await ask(at, 'SOA', signal), at);
    if (zone !== undefined) return zone;
  }
  return undefined;
}

/** The zone that an answer to a question for a name's SOA shows: its own, or with a negative answer the one above it. */
export function zoneOf({ answers, authorities }: DnsMessage, name: string): string | undefined {
  if (answers.some(record => record.type === 'SOA' && record.name === name)) return name;
  // Behind a CNAME it is the zone of the target.
  if (answers.some(record => record.type === 'CNAME')) return undefined;
  return authorities.find(record => record.type === 'SOA' && isInside(name, record.name))?.name;
}

/**
 * Where a CNAME in the answer points.
 *
 * @throws IssuanceError `misconfigured` where that is no name
 */
export function cnameOf({ answers }: DnsMessage, name: string): string | undefined {
  const cname = answers.find(record => record.type === 'CNAME' && record.name === name);
  if (cname?.type !== 'CNAME') return undefined;
  if (!isName(cname.target))
    throw new IssuanceError('misconfigured', `${name} is a CNAME of a name that cannot be used`);
  return cname.target;
}

/** A name server of a zone, and its addresses; none where they cannot be found. */
export type NameServer = { name: string; addresses: string[] };

/**
 * The name servers of a zone, as the zone itself lists them.
 *
 * @param ask for the zone, and for what is in it
 * @param askOthers for addresses that lie elsewhere, and where `ask` does not tell
 */
export async function findNameServers(
  zone: string,
  ask: Ask,
  signal: AbortSignal,
  askOthers = ask,
): Promise<NameServer[]> {
  const own = namesOf(await ask(zone, 'NS', signal), zone);
  const names = own.length > 0 ? own : namesOf(await askOthers(zone, 'NS', signal), zone);
  return Promise.all(
    names.map(async name => {
      const inside = isInside(name, zone) ? await findAddresses(name, ask, signal) : [];
      return { name, addresses: inside.length > 0 ? inside : await findAddresses(name, askOthers, signal) };
    }),
  );
}

function namesOf({ answers }: DnsMessage, zone: string): string[] {
  const names = answers.flatMap(record =>
    record.type === 'NS' && record.name === zone ? [record.target] : [],
  );
  return [...new Set(names)];
}

async function findAddresses(name: string, ask: Ask, signal: AbortSignal): Promise<string[]> {
  if (!isName(name)) return [];
  const looks = await Promise.allSettled((['AAAA', 'A'] as const).map(type => ask(name, type, signal)));
  signal.throwIfAborted();
  const records = looks.flatMap(look => (look.status === 'fulfilled' ? look.value.answers : []));
  return [...new Set(records.flatMap(record => ('address' in record ? [record.address] : [])))];
}
