import type { DnsRecords } from '../../../shared/solver/dns-records.ts';
import { Class, Rcode, Type } from './codes.ts';
import type { Query } from './query.ts';
import type { Answer, ReplyRecord } from './reply.ts';
import type { Zone, Zones } from './zones.ts';

/** Of what never changes: SOA, NS and the addresses of name servers, in seconds. */
const FIXED_TTL = 3_600;

/** RFC 8482 section 4.2: the answer to ANY says that it is not to be had. */
const refusesAny = Buffer.from('\x07RFC8482\x00', 'latin1');

export type AnswerParts = { zones: Zones; records: Pick<DnsRecords, 'values' | 'isAbove'> };

/**
 * What the zones say to a question (RFC 1034 section 4.3.2, RFC 2308).
 *
 * @throws whatever keeps the records from being looked up
 */
export async function answerQuery({ zones, records }: AnswerParts, query: Query): Promise<Answer> {
  if (query.edns && query.edns.version > 0) return { rcode: Rcode.badVersion };
  const zone = query.class === Class.IN || query.class === Class.ANY ? zones.find(query.name) : undefined;
  if (!zone || query.type === Type.AXFR || query.type === Type.IXFR) return { rcode: Rcode.refused };

  const own = zone.fixed.get(query.name);
  const fixed = own?.get(query.type);
  if (fixed) return positive(fixed.map(data => ({ skip: 0, type: query.type, ttl: FIXED_TTL, data })));
  const values = canHold(query.name) ? await records.values(query.name) : [];
  if (query.type === Type.TXT && values.length > 0) {
    return positive(
      values.map(value => ({ skip: 0, type: Type.TXT, ttl: zone.ttl, data: encodeText(value) })),
    );
  }
  // A resolver that walks down to a name label by label must not be told that there is nothing below (RFC
  // 8020).
  const exists =
    own || values.length > 0 || zones.isAbove(query.name) || (await holdsBelow(records, query.name));
  if (!exists) return negative(Rcode.nameError, query, zone);
  if (query.type !== Type.ANY) return negative(Rcode.noError, query, zone);
  return positive([{ skip: 0, type: Type.HINFO, ttl: FIXED_TTL, data: refusesAny }]);
}

/** Nothing is ever put at a name with bytes that had to be escaped. */
const canHold = (name: string) => !name.includes('\\');

async function holdsBelow(records: AnswerParts['records'], name: string): Promise<boolean> {
  return canHold(name) && (await records.isAbove(name));
}

function positive(records: ReplyRecord[]): Answer {
  return { rcode: Rcode.noError, authoritative: true, records };
}

/** With the SOA, which says for how long it may be remembered. */
function negative(rcode: Rcode, { nameLength }: Query, { name, ttl, soa }: Zone): Answer {
  const skip = nameLength - (name.length + 2); // a name takes two bytes more on the wire than as text
  return { rcode, authoritative: true, authority: [{ skip, type: Type.SOA, ttl, data: soa }] };
}

/** One string of a TXT record. */
function encodeText(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value, 'latin1')]);
}
