import { findCidrFault } from '../base/identifier.ts';
import type { Parse } from './section-reader.ts';

/** `192.0.2.0/24`, `2001:db8::/32` or a single address; kept as it is written. */
export const parseCidr: Parse<string> = (text, fail) => {
  const fault = findCidrFault(text);
  return fault === undefined ? text : fail(fault);
};
