import { parseRate, type Rate } from '../config/rate.ts';
import type { SectionReader } from '../config/section-reader.ts';

export type { Rate } from '../config/rate.ts';

/** What the CA is known to allow; a limit that is absent is not counted. */
export type LimitsConfig = {
  /** New orders of the account. */
  orders?: Rate;
  certificatesPerDomain?: Rate;
  certificatesPerSet?: Rate;
  /** For each name. */
  failedAuthorizations?: Rate;
};

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** https://letsencrypt.org/docs/rate-limits/, August 2026 */
const letsEncrypt: LimitsConfig = {
  orders: { count: 300, period: 3 * HOUR },
  certificatesPerDomain: { count: 50, period: 7 * DAY },
  certificatesPerSet: { count: 5, period: 7 * DAY },
  failedAuthorizations: { count: 5, period: HOUR },
};

/**
 * `[limits]` of one account, where there is one. The defaults are Let's Encrypt's published ones for Let's
 * Encrypt, and none for another CA.
 */
export function parseLimits(section: SectionReader | undefined, acmeServer: string): LimitsConfig {
  const defaults = new URL(acmeServer).hostname === 'acme-v02.api.letsencrypt.org' ? letsEncrypt : {};
  const read = (key: string, otherwise: Rate | undefined) => section?.one(key, parseRate) ?? otherwise;
  const limits = {
    orders: read('orders', defaults.orders),
    certificatesPerDomain: read('certificates-per-domain', defaults.certificatesPerDomain),
    certificatesPerSet: read('certificates-per-set', defaults.certificatesPerSet),
    failedAuthorizations: read('failed-authorizations', defaults.failedAuthorizations),
  };
  section?.finish();
  return Object.fromEntries(
    Object.entries(limits).filter(([, rate]) => rate && rate.count < Number.POSITIVE_INFINITY),
  );
}

/** Milliseconds; 0 where nothing is limited. */
export const longestPeriod = (all: Iterable<LimitsConfig>): number =>
  Math.max(0, ...[...all].flatMap(limits => Object.values(limits).map(({ period }) => period)));
