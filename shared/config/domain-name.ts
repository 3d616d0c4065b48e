import type { Parse } from './section-reader.ts';

/** A domain name, kept lower-cased and without the dot at its end. */
export const parseDomain: Parse<string> = (text, fail) => {
  const name = text.toLowerCase().replace(/\.$/, '');
  const good = name.length <= 253 && name.split('.').every(label => /^[a-z0-9_-]{1,63}$/.test(label));
  return good ? name : fail('is not a domain name');
};
