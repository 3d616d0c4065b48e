import type { Identifier } from '../base/identifier.ts';

// The TXT record of draft-ietf-acme-dns-persist-01 sections 4 and 5: an issue-value of RFC 8659 section 4.2.

type PersistRecord = {
  /** Without a dot at its end, such as `_validation-persist.example.org`. */
  name: string;
  value: string;
};

/**
 * The record that lets this account have certificates for the identifier; for a wildcard, for its base name
 * too.
 */
export function toPersistRecord(identifier: Identifier, issuer: string, accountUrl: string): PersistRecord {
  const policy = isWildcard(identifier) ? '; policy=wildcard' : '';
  return { name: persistName(identifier), value: `${issuer}; accounturi=${accountUrl}${policy}` };
}

export function persistName({ value }: Identifier): string {
  return `_validation-persist.${value.replace(/^\*\./, '')}`;
}

/**
 * Why none of the values authorizes the account, as a CA would find it; `undefined` where one does.
 *
 * @param now milliseconds since the epoch
 */
export function findPersistFault(
  values: readonly string[],
  identifier: Identifier,
  { accountUrl, issuerDomainNames }: { accountUrl: string; issuerDomainNames: readonly string[] },
  now: number,
): string | undefined {
  if (values.length === 0) return 'there is no such record';
  const faults: string[] = [];
  for (const value of values) {
    const [issuer = '', ...parameters] = value.split(';').map(trimWsp);
    if (!issuerDomainNames.includes(issuer)) continue;
    const fault = findFault(parameters, isWildcard(identifier), accountUrl, now);
    if (fault === undefined) return undefined;
    faults.push(fault);
  }
  return faults[0] ?? `no record names ${issuerDomainNames.join(' or ')}`;
}

function findFault(
  parameters: string[],
  wildcard: boolean,
  accountUrl: string,
  now: number,
): string | undefined {
  const tags = new Map<string, string>();
  for (const parameter of parameters) {
    const [, tag, value] = /^([^=]*)=(.*)$/s.exec(parameter)?.map(trimWsp) ?? [];
    if (!tag || value === undefined || !/^[\x21-\x3a\x3c-\x7e]*$/.test(value))
      return 'the record is malformed';
    if (tags.has(tag.toLowerCase())) return `the record has two ${tag}`;
    tags.set(tag.toLowerCase(), value);
  }
  if (tags.get('accounturi') !== accountUrl) return 'the record is for another account';
  const until = tags.get('persistuntil');
  if (until !== undefined && !/^-?\d+$/.test(until)) return 'its persistUntil is no time in seconds';
  if (until !== undefined && now > Number(until) * 1_000) return 'its persistUntil is over';
  if (wildcard && tags.get('policy')?.toLowerCase() !== 'wildcard') return 'its policy is not wildcard';
  return undefined;
}

const isWildcard = ({ value }: Identifier) => value.startsWith('*.');

const trimWsp = (text: string) => text.replace(/^[ \t]+|[ \t]+$/g, '');
