import { canonicalAddress, type Identifier, parseDnsName, quoteName } from '../base/identifier.ts';
import { AcmeError, type AcmeErrorKind } from './problem.ts';

// What the payload of a newOrder says (RFC 8555 section 7.4).

const MOST_NAMES = 100;

/** What is wrong with one of the identifiers. */
type Fault = { kind: AcmeErrorKind; detail: string; identifier: { type: string; value: string } };

/**
 * The names of an order, each once, in the order in which they came.
 *
 * @throws AcmeError `malformed` or `unsupportedIdentifier`, with a subproblem for each that is at fault
 */
export function parseIdentifiers(value: unknown): Identifier[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new AcmeError('malformed', 'the order names no identifiers');
  if (value.length > MOST_NAMES)
    throw new AcmeError('malformed', `the order has ${value.length} names; at most ${MOST_NAMES} are taken`);
  const read = value.map(parseIdentifier);
  const faults = read.filter(one => 'kind' in one);
  const [first] = faults;
  if (first) throw new AcmeError(worstOf(faults), first.detail, { subproblems: faults });
  const identifiers = read.filter((one): one is Identifier => !('kind' in one));
  return [...new Map(identifiers.map(one => [`${one.type}:${one.value}`, one])).values()];
}

/** One word for all of them, of which each subproblem has its own. */
const worstOf = (faults: Fault[]) =>
  faults.some(({ kind }) => kind === 'malformed') ? 'malformed' : 'unsupportedIdentifier';

function parseIdentifier(given: unknown): Identifier | Fault {
  const { type, value } = (given ?? {}) as { type?: unknown; value?: unknown };
  if (typeof type !== 'string' || typeof value !== 'string')
    throw new AcmeError('malformed', 'an identifier is not an object with a type and a value');
  if (type === 'ip') {
    const address = canonicalAddress(value);
    return address === undefined
      ? toFault('malformed', `${quoteName(value)} is not an IP address`, { type, value })
      : { type, value: address };
  }
  if (type === 'dns') return parseName(value);
  const detail = `identifiers of type ${quoteName(type)} are not taken, only dns and ip`;
  return toFault('unsupportedIdentifier', detail, { type, value });
}

function parseName(value: string): Identifier | Fault {
  try {
    return { type: 'dns', value: parseDnsName(value) };
  } catch (error) {
    return toFault('malformed', (error as Error).message, { type: 'dns', value });
  }
}

const LONGEST_SHOWN = 300;

const toFault = (kind: AcmeErrorKind, detail: string, { type, value }: Fault['identifier']): Fault => ({
  kind,
  detail,
  identifier: { type: type.slice(0, LONGEST_SHOWN), value: value.slice(0, LONGEST_SHOWN) },
});

/**
 * No CA here takes the times of a certificate from a client. Some clients send the first moment of the
 * calendar where they mean none.
 *
 * @throws AcmeError `malformed` where one is given
 */
export function refuseTimes({ notBefore, notAfter }: Record<string, unknown>): void {
  const isNone = (time: unknown) =>
    time === undefined || time === null || time === '' || /^0001-01-01T/.test(String(time));
  const given = Object.entries({ notBefore, notAfter }).find(([, time]) => !isNone(time));
  if (given)
    throw new AcmeError('malformed', `${given[0]} is not taken: the CA says how long a certificate lives`);
}

/**
 * @param offered those of the directory's `meta`, by their names
 * @throws AcmeError `invalidProfile` (draft-ietf-acme-profiles section 4)
 */
export function parseProfile(value: unknown, offered: Readonly<Record<string, string>>): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string' && Object.hasOwn(offered, value)) return value;
  const names = Object.keys(offered).join(', ') || 'none';
  throw new AcmeError(
    'invalidProfile',
    `the certificate profile ${quoteName(String(value))} is not offered; offered: ${names}`,
  );
}
