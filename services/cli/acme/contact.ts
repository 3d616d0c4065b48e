import { parseContact } from '../../../shared/ca/account-section.ts';
import { UsageError } from '../command.ts';

/** A contact as ACME has it: a URL; an e-mail address becomes one. */
export function toContact(text: string): string {
  return parseContact(text, reason => {
    throw new UsageError(`--contact ${reason}`);
  });
}
