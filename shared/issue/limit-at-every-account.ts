import type { IssuanceError } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import type { Orderer, StandingLimits } from '../limits/limits.ts';
import { goesElsewhere } from '../order/fail-over.ts';

/** Of each account, by its name. */
export type AllLimits = ReadonlyMap<string, Pick<StandingLimits, 'standingAgainst' | 'keysAgainst'>>;

/** What is to be ordered, as `StandingLimits` asks for it. */
type Asked = { identifiers: Identifier[]; orderer: Orderer; csr?: string; publicKey?: string };

/**
 * Why no account can order these names now, in the words of the first account. A CA that asked for a moment
 * (`unavailable`) keeps no client from waiting; names whose validation fails would fail at every CA, as does
 * a CSR, but for what only this CA has against it, and a blocked key.
 *
 * @param accounts in the order of preference
 */
export async function limitAtEveryAccount(
  limits: AllLimits,
  accounts: readonly { account: string }[],
  { identifiers, orderer, csr, publicKey }: Asked,
): Promise<IssuanceError | undefined> {
  const standing = accounts.map(({ account }) =>
    limits.get(account)?.standingAgainst(identifiers, orderer, csr, publicKey),
  );
  const found = (await Promise.all(standing)).filter(limit => limit !== undefined);
  const lasting = found.filter(({ code }) => code !== 'unavailable');
  const everywhere = lasting.length === accounts.length ? lasting[0] : undefined;
  return lasting.find(isHopeless) ?? everywhere;
}

function isHopeless(limit: IssuanceError): boolean {
  if (limit.code === 'denied') return true;
  return (limit.code === 'badCsr' || limit.code === 'challengeFailed') && !goesElsewhere(limit, 0, false);
}
