import { AcmeError } from './problem.ts';

// How people of an account can be reached (RFC 8555 section 7.3).

const MOST = 10;
/** Characters of an address (RFC 5321 section 4.5.3.1.3). */
const LONGEST = 254;
/** Control characters would come out again where `quarry acme-accounts` shows them. */
const oneAddress = /^[^\s\p{C}@,?<>"]+@[^\s\p{C}@,?<>"]+$/u;

/**
 * The `contact` of an account. Addresses without `mailto:` are taken, too, as step sends them.
 *
 * @returns URLs, `mailto:` alone; `undefined` where the client says nothing of them
 * @throws AcmeError `malformed`, `invalidContact` or `unsupportedContact`
 */
export function parseContacts(value: unknown): string[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value) || !value.every(one => typeof one === 'string'))
    throw new AcmeError('malformed', 'contact is not a list of URLs');
  if (value.length > MOST) throw new AcmeError('invalidContact', `there are more than ${MOST} contacts`);
  return value.map(parseContact);
}

function parseContact(text: string): string {
  const [, scheme = 'mailto', rest = ''] = /^(?:([a-z][a-z0-9+.-]*):)?(.*)$/is.exec(text) ?? [];
  if (scheme.toLowerCase() !== 'mailto')
    throw new AcmeError('unsupportedContact', `a contact is a mailto: URL, not ${scheme.toLowerCase()}:`);
  // RFC 8555 section 7.3: neither header fields nor several addresses.
  if (rest.length > LONGEST || !oneAddress.test(rest))
    throw new AcmeError('invalidContact', 'a contact is not one address, such as mailto:admin@example.org');
  return `mailto:${rest}`;
}
