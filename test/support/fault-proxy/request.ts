import { type Answer, parseObject } from './upstream.ts';

export const kinds = [
  'directory',
  'newNonce',
  'newAccount',
  'newOrder',
  'account',
  'order',
  'authorization',
  'challenge',
  'finalize',
  'certificate',
  'keyChange',
  'revokeCert',
  'renewalInfo',
  'other',
] as const;

/**
 * What a request is about, told by its path. POST and POST-as-GET are one kind; `postAsGet` tells them apart.
 */
export type Kind = (typeof kinds)[number];

/** As RFC 8555 section 7.1.3 writes it. */
export type OrderIdentifier = { type: string; value: string };

/** A request as it came, and what became of it: the last four change as it goes on. */
export type ProxiedRequest = {
  readonly kind: Kind;
  readonly method: string;
  readonly path: string;
  /** When it came, in milliseconds since the epoch. */
  readonly at: number;
  /** A signed request without a payload (RFC 8555 section 6.3). */
  readonly postAsGet: boolean;
  /** The account's URL: the `kid` of a signed request. */
  readonly account?: string | undefined;
  /** The parsed payload of a signed request. */
  readonly payload?: Record<string, unknown> | undefined;
  /** Those of the order that the request belongs to, as far as that order has been seen. */
  readonly identifiers?: OrderIdentifier[] | undefined;
  /** What newOrder asked for. */
  readonly replaces?: string | undefined;
  readonly profile?: string | undefined;

  /** `dropped` and `cut` by a rule; `hung up` by the client; `failed`: see `error`. */
  outcome: 'open' | 'answered' | 'dropped' | 'cut' | 'hung up' | 'failed';
  /** What the client was answered, when it was. */
  status?: number;
  /** What Pebble answered, when it was asked: it has acted then. */
  pebbleStatus?: number;
  /** Why Pebble could not be asked, or what a rule's function threw. */
  error?: unknown;
};

/** Pebble's own paths, which it has in common with no other CA. */
const paths: [RegExp, Kind][] = [
  [/^\/dir$/, 'directory'],
  [/^\/nonce-plz$/, 'newNonce'],
  [/^\/sign-me-up$/, 'newAccount'],
  [/^\/order-plz$/, 'newOrder'],
  [/^\/my-account\//, 'account'],
  [/^\/my-order\//, 'order'],
  [/^\/authZ\//, 'authorization'],
  [/^\/chalZ\//, 'challenge'],
  [/^\/finalize-order\//, 'finalize'],
  [/^\/certZ\//, 'certificate'],
  [/^\/rollover-account-key$/, 'keyChange'],
  [/^\/revoke-cert$/, 'revokeCert'],
  [/\/renewalInfo\//, 'renewalInfo'],
];

/**
 * Tells what a request is about, and learns from the answers to newer ones which order each URL belongs to.
 *
 * @param now milliseconds since the epoch
 */
export function createRequestReader(now: () => number) {
  const identifiersOf = new Map<string, OrderIdentifier[]>();

  const learnOrder = (order: Record<string, unknown>, ...paths: (string | undefined)[]) => {
    const urls = [order.finalize, order.certificate, ...(order.authorizations as string[])];
    const known = [...paths, ...urls.map(toPath)].filter(path => path !== undefined);
    for (const path of known) identifiersOf.set(path, order.identifiers as OrderIdentifier[]);
  };

  return {
    read(method: string, path: string, body: string): ProxiedRequest {
      const kind = paths.find(([pattern]) => pattern.test(path))?.[1] ?? 'other';
      const jws = parseObject(body);
      const payload = parseObject(fromBase64url(jws?.payload));
      const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
      return {
        kind,
        method,
        path,
        at: now(),
        postAsGet: jws?.payload === '',
        account: text(parseObject(fromBase64url(jws?.protected))?.kid),
        payload,
        identifiers: (payload?.identifiers as OrderIdentifier[] | undefined) ?? identifiersOf.get(path),
        replaces: text(payload?.replaces),
        profile: text(payload?.profile),
        outcome: 'open',
      };
    },
    /** @param answer Pebble's own */
    learn({ kind, path, identifiers }: ProxiedRequest, answer: Answer): void {
      const body = answer.status < 300 && kind !== 'certificate' ? parseObject(answer.body) : undefined;
      if (Array.isArray(body?.authorizations)) learnOrder(body, toPath(answer.headers.location), path);
      if (!identifiers || kind !== 'authorization' || !Array.isArray(body?.challenges)) return;
      for (const { url } of body.challenges) identifiersOf.set(toPath(url) ?? '', identifiers);
    },
  };
}

/** The path of a URL; undefined when it is none. */
export function toPath(url: unknown): string | undefined {
  return typeof url === 'string' ? URL.parse(url)?.pathname : undefined;
}

const fromBase64url = (text: unknown) =>
  Buffer.from(typeof text === 'string' ? text : '', 'base64url').toString();
