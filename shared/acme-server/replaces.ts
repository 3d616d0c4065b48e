import { isRenewalInfoId } from '../acme/renewal-info.ts';
import type { Identifier } from '../base/identifier.ts';
import type { Certificates, ClientCertificate } from './certificates.ts';
import { AcmeError } from './problem.ts';

// Which certificate an order is to replace (RFC 9773 section 5).

/**
 * The `replaces` of a newOrder, which its order shows from then on.
 *
 * @throws AcmeError `malformed` where it can be no certificate's name
 */
export function parseReplaces(value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string' && isRenewalInfoId(value)) return value;
  const detail = 'replaces is not the name of a certificate as RFC 9773 section 4.1 makes it';
  throw new AcmeError('malformed', detail);
}

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

/** @throws AcmeError `alreadyReplaced`, for which each client orders again without `replaces` */
export function refuseReplaced(replaced: ClientCertificate | undefined): void {
  if (replaced?.replacedBy !== undefined)
    throw new AcmeError('alreadyReplaced', 'an order of this account has replaced that certificate already');
}

/** What the CA is told of the certificate, which it knows by the same name. */
export const toReplaces = ({ renewalId: id, issuedBy }: ClientCertificate) => ({
  id,
  ...(issuedBy && { directory: issuedBy.directory }),
});
