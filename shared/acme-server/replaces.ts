import type { Identifier } from '../base/identifier.ts';
import type { Certificates, ClientCertificate } from './certificates.ts';

// Which certificate an order is to replace (RFC 9773 section 5).

/** What is said of an order that replaces a certificate. */
type Replacing = {
  account: string;
  identifiers: readonly Identifier[];
  replaces?: string | undefined;
};

/**
 * The certificate whose place an order takes: one of the same account, with a name in common. A client that
 * comes from another CA, or with a new account, says `replaces`, too, and most clients try no second order
 * when the first is refused for it. So what is of no use here is passed over, and nobody learns what there is
 * of other accounts.
 *
 * @throws what Redis says
 */
export async function findReplaced(
  certificates: Pick<Certificates, 'findByRenewalId'>,
  { account, identifiers, replaces }: Replacing,
): Promise<ClientCertificate | undefined> {
  const found = replaces === undefined ? undefined : await certificates.findByRenewalId(replaces);
  if (found?.account !== account) return undefined;
  return identifiers.some(({ value }) => found.names.includes(value)) ? found : undefined;
}
