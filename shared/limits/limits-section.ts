import type { OptionRows } from '../config/option-rows.ts';
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

/** Of `[limits]`: what the CA allows the account. */
export const limitsRows: OptionRows = {
  orders: {
    meaning: 'orders of the account, such as `300/3h`, or `off`',
    otherwise: "Let's Encrypt's published limit; none for another CA",
  },
  'certificates-per-domain': {
    meaning: 'certificates for a registered domain, such as `50/7d`, or `off`',
    otherwise: 'likewise',
  },
  'certificates-per-set': { meaning: 'certificates for exactly the same names', otherwise: 'likewise' },
  'failed-authorizations': { meaning: 'failed authorizations of a name', otherwise: 'likewise' },
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
