import { IssuanceError } from '../base/errors.ts';
import { isInside, withParents } from '../base/identifier.ts';
import type { DnsMessage } from './message.ts';
import type { Ask } from './query.ts';

/**
 * Finds the zone that a name is in by asking for SOA records from the name upwards; it is never guessed from
 * the labels.
 *
 * @param ask a resolver, or a server that is authoritative for the zone
 * @returns the zone's name, or `undefined` where no answer shows one
 */
export async function findZone(name: string, ask: Ask, signal: AbortSignal): Promise<string | undefined> {
  for (const at of withParents(name)) {
    const zone = zoneOf(await ask(at, 'SOA', signal), at);
    if (zone !== undefined) return zone;
  }
  return undefined;
}

/**
 * Reads the zone out of an answer for a name's SOA: the name itself, or with a negative answer one above it.
 */
export function zoneOf({ answers, authorities }: DnsMessage, name: string): string | undefined {
  if (answers.some(record => record.type === 'SOA' && record.name === name)) return name;
  // Behind a CNAME the SOA is that of the target's zone.
  if (answers.some(record => record.type === 'CNAME')) return undefined;
  return authorities.find(record => record.type === 'SOA' && isInside(name, record.name))?.name;
}

/**
 * Reads the target of a name's CNAME out of an answer.
 *
 * @throws IssuanceError `misconfigured` where the target is not a usable name
 */
export function cnameOf({ answers }: DnsMessage, name: string): string | undefined {
  const cname = answers.find(record => record.type === 'CNAME' && record.name === name);
  if (cname?.type !== 'CNAME') return undefined;
  if (!canBeAsked(cname.target))
    throw new IssuanceError('misconfigured', `${name} is a CNAME of a name that cannot be used`);
  return cname.target;
}

/** A name server of a zone, with the addresses that could be found. */
type NameServer = { name: string; addresses: string[] };

/**
 * Finds the name servers of a zone, as the zone itself lists them.
 *
 * @param ask is asked about the zone and the names in it
 * @param askOthers is asked about names in other zones, and where `ask` does not know
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
  if (!canBeAsked(name)) return [];
  const looks = await Promise.allSettled((['AAAA', 'A'] as const).map(type => ask(name, type, signal)));
  signal.throwIfAborted();
  const records = looks.flatMap(look => (look.status === 'fulfilled' ? look.value.answers : []));
  return [...new Set(records.flatMap(record => ('address' in record ? [record.address] : [])))];
}

/** Whether a server's text can be sent as a name as it stands: nothing escaped, no label too long. */
function canBeAsked(name: string): boolean {
  return name.length <= 253 && name.split('.').every(label => /^[a-z0-9_*-]{1,63}$/.test(label));
}
