import type { OrderIdentifier, ProxiedRequest } from './request.ts';
import type { AnswerSpec, Rule, RuleOptions } from './rules.ts';

// What Let's Encrypt says when it refuses. The texts are Boulder's (ratelimits/limiter.go, errors.go,
// wfe2/wfe.go).

const docs = 'https://letsencrypt.org/docs/rate-limits/';
const hour = 3600;
const week = 168 * hour;

type LimitSpec = {
  kind: 'newOrder' | 'newAccount';
  seconds: number;
  /** Whom it counts: one text for each bucket that the request takes from. */
  buckets: (request: ProxiedRequest) => string[];
  say: (bucket: string) => string;
  anchor: string;
};

const limits = {
  /** 300 orders in 3 hours. */
  ordersPerAccount: {
    kind: 'newOrder',
    seconds: 3 * hour,
    buckets: ({ account = '' }) => [account],
    say: () => 'too many new orders (300) from this account in the last 3h0m0s',
    anchor: 'new-orders-per-account',
  },
  /** 50 certificates in 7 days; here the registered domain is taken to be the last two labels. */
  certificatesPerDomain: {
    kind: 'newOrder',
    seconds: week,
    buckets: request => namesOf(request).map(toRegisteredDomain),
    say: domain => `too many certificates (50) already issued for "${domain}" in the last 168h0m0s`,
    anchor: 'new-certificates-per-registered-domain',
  },
  /** 5 certificates in 7 days. */
  certificatesPerExactSet: {
    kind: 'newOrder',
    seconds: week,
    buckets: request => [namesOf(request).toSorted().join(',')],
    say: () =>
      'too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s',
    anchor: 'new-certificates-per-exact-set-of-identifiers',
  },
  /** 5 in an hour. */
  failedAuthorizations: {
    kind: 'newOrder',
    seconds: hour,
    buckets: namesOf,
    say: name => `too many failed authorizations (5) for "${name}" in the last 1h0m0s`,
    anchor: 'authorization-failures-per-identifier-per-account',
  },
  /** 10 accounts in 3 hours. */
  accountsPerAddress: {
    kind: 'newAccount',
    seconds: 3 * hour,
    buckets: ({ payload }) => (payload?.onlyReturnExisting ? [] : ['']),
    say: () => 'too many new registrations (10) from this IP address in the last 3h0m0s',
    anchor: 'new-registrations-per-ip-address',
  },
} satisfies Record<string, LimitSpec>;

/** What a rule of Let's Encrypt's may be narrowed by; `when` is asked before anything is counted. */
export type Narrowed = Pick<RuleOptions, 'when' | 'nth' | 'from' | 'to' | 'times'>;

export type RateLimitOptions = Narrowed & {
  limit: keyof typeof limits;
  /** So many requests per account, domain, set, … get through before it refuses; none by default. */
  allow?: number;
  /** In so many seconds; by default as Let's Encrypt has it. Retry-After is what is left of them. */
  perSeconds?: number;
  /** Only this registered domain (`certificatesPerDomain`) or identifier (`failedAuthorizations`). */
  name?: string;
};

/**
 * 429 `rateLimited` with Retry-After and Let's Encrypt's text. It counts the requests that it lets through,
 * whatever comes of them. Orders that say what they replace are exempt.
 */
export function rateLimitRule({
  limit,
  allow = 0,
  perSeconds,
  name,
  ...narrowed
}: RateLimitOptions): RuleOptions {
  const { kind, seconds, buckets, say, anchor }: LimitSpec = limits[limit];
  const window = (perSeconds ?? seconds) * 1000;
  const taken = new Map<string, number[]>();

  const answer = (request: ProxiedRequest): AnswerSpec | undefined => {
    if (request.replaces) return undefined;
    const mine = [...new Set(buckets(request))].filter(bucket => name === undefined || bucket === name);
    const recent = (bucket: string) => (taken.get(bucket) ?? []).filter(at => at > request.at - window);
    const full = mine.find(bucket => recent(bucket).length >= allow);
    if (full === undefined) {
      for (const bucket of mine) taken.set(bucket, [...recent(bucket), request.at]);
      return undefined;
    }
    const until = (recent(full)[0] ?? request.at) + window;
    return limited(`${say(full)}, retry after ${toUtc(until)}: see ${docs}#${anchor}`, until - request.at);
  };
  return { ...narrowed, kind, do: { answer } };
}

/**
 * 429 without Retry-After and with a link to the portal, where a human has to lift it. @param name by default
 * all
 */
export function pausedRule({ name, ...narrowed }: Narrowed & { name?: string } = {}): RuleOptions {
  const answer = (request: ProxiedRequest) => {
    const paused = namesOf(request).filter(one => name === undefined || one === name);
    if (paused.length === 0) return undefined;
    return limited(
      `Your account is temporarily prevented from requesting certificates for ${paused.join(', ')} and possibly others. Please visit: https://portal.letsencrypt.org/sfe/v1/unpause?jwt=eyJhbGciOiJIUzI1NiJ9.e30.c2ln`,
    );
  };
  return { ...narrowed, kind: 'newOrder', do: { answer } };
}

/** The load balancer's 503: HTML, Retry-After, no nonce. By default it meets every request. */
export function busyRule({
  retryAfter = 5,
  ...options
}: Omit<RuleOptions, 'do'> & { retryAfter?: number | string } = {}): RuleOptions {
  const headers = { 'content-type': 'text/html', 'retry-after': `${retryAfter}` };
  const title = '503 Service Temporarily Unavailable';
  const body = `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n<center><h1>${title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`;
  return { ...options, do: { answer: { status: 503, headers, body, nonce: false } } };
}

/** The four things that Let's Encrypt does and Pebble does not. */
export type LetsEncryptPlays = {
  playRateLimit(options: RateLimitOptions): Rule;
  playPaused(options?: Parameters<typeof pausedRule>[0]): Rule;
  playBusyLoadBalancer(options?: Parameters<typeof busyRule>[0]): Rule;
  playOrderReuse(): Rule;
};

function limited(detail: string, milliseconds?: number): AnswerSpec {
  if (milliseconds === undefined) return { status: 429, problem: { type: 'rateLimited', detail } };
  const headers = { 'retry-after': `${Math.ceil(milliseconds / 1000)}`, link: `<${docs}>;rel="help"` };
  return { status: 429, headers, problem: { type: 'rateLimited', detail } };
}

/** `2026-11-22 20:00:00 UTC` */
const toUtc = (time: number) => new Date(time).toISOString().replace('T', ' ').replace(/\..*/, ' UTC');

function namesOf({ identifiers = [] }: { identifiers?: OrderIdentifier[] | undefined }): string[] {
  return identifiers.map(({ value }) => value);
}

const toRegisteredDomain = (name: string) => name.split('.').slice(-2).join('.');
