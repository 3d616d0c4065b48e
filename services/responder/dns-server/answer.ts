import type { RecordsFound } from '../../../shared/solver/dns-records.ts';
import { Class, Rcode, Type } from './codes.ts';
import type { Query } from './query.ts';
import type { Answer, ReplyRecord } from './reply.ts';
import type { Zone, Zones } from './zones.ts';

/** Of what never changes: SOA, NS and the addresses of name servers, in seconds. */
const FIXED_TTL = 3_600;

/** RFC 8482 section 4.2: the answer to ANY says that it is not to be had. */
const refusesAny = Buffer.from('\x07RFC8482\x00', 'latin1');

/**
 * What the zones say to a question (RFC 1034 section 4.3.2, RFC 2308): an answer, or what makes one of the
 * records at the question's name, where they have to be looked up.
 */
export function answerQuery(zones: Zones, query: Query): Answer | ((found: RecordsFound) => Answer) {
  if (query.edns && query.edns.version > 0) return { rcode: Rcode.badVersion };
  const zone = query.class === Class.IN || query.class === Class.ANY ? zones.find(query.name) : undefined;
  if (!zone || query.type === Type.AXFR || query.type === Type.IXFR) return { rcode: Rcode.refused };

  const own = zone.fixed.get(query.name);
  const fixed = own?.get(query.type);
  if (fixed) return positive(fixed.map(data => ({ skip: 0, type: query.type, ttl: FIXED_TTL, data })));
  const isFixed = own !== undefined || zones.isAbove(query.name);
  return canHold(query.name)
    ? found => answerFrom(found, query, zone, isFixed)
    : answerFrom(nothing, query, zone, isFixed);
}

/** Nothing is ever put at a name with bytes that had to be escaped. */
const canHold = (name: string) => !name.includes('\\');
const nothing: RecordsFound = { values: [], isAbove: false };

/** @param isFixed whether the name is always there */
function answerFrom({ values, isAbove }: RecordsFound, query: Query, zone: Zone, isFixed: boolean): Answer {
  if (query.type === Type.TXT && values.length > 0) {
    return positive(
      values.map(value => ({ skip: 0, type: Type.TXT, ttl: zone.ttl, data: checkText(value) })),
    );
  }
  // A resolver that walks down to a name label by label must not be told that there is nothing below (RFC
  // 8020).
  const exists = isFixed || values.length > 0 || isAbove;
  if (!exists) return negative(Rcode.nameError, query, zone);
  if (query.type !== Type.ANY) return negative(Rcode.noError, query, zone);
  return positive([{ skip: 0, type: Type.HINFO, ttl: FIXED_TTL, data: refusesAny }]);
}

function positive(records: ReplyRecord[]): Answer {
  return { rcode: Rcode.noError, authoritative: true, records };
}

/** With the SOA, which says for how long it may be remembered. */
function negative(rcode: Rcode, { nameLength }: Query, { name, ttl, soa }: Zone): Answer {
  const skip = nameLength - (name.length + 2); // a name takes two bytes more on the wire than as text
  return { rcode, authoritative: true, authority: [{ skip, type: Type.SOA, ttl, data: soa }] };
}

/** @throws RangeError where it is too long for one string of a TXT record */
function checkText(value: string): string {
  if (value.length > 255) throw new RangeError('a TXT value in Redis has more than 255 bytes');
  return value;
}
