import { isDomainName, toName } from '../base/identifier.ts';
import type { Parse } from './section-reader.ts';

/** A domain name, kept in lower case and without the dot at its end. */
export const parseDomain: Parse<string> = (text, fail) => {
  const name = toName(text);
  return isDomainName(name) ? name : fail('is not a domain name');
};
