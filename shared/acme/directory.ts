import { IssuanceError } from '../base/errors.ts';
import { type HttpAnswer, parseRetryAfter, resolveUrl } from './objects.ts';
import { describeAnswer } from './words.ts';

/** RFC 8555 section 7.1.1, with what other standards add. */
export type Directory = {
  urls: Partial<Record<(typeof resources)[number], string>>;
  termsOfService?: string;
  externalAccountRequired: boolean;
  /** What the CA calls itself in CAA records. */
  caaIdentities: string[];
  /** Names of certificate profiles; `undefined` where the CA offers no choice. */
  profiles?: string[];
};

const resources = [
  'newNonce',
  'newAccount',
  'newOrder',
  'revokeCert',
  'keyChange',
  'renewalInfo', // RFC 9773 section 3
] as const;

/**
 * What has another type than it should is taken as absent.
 *
 * @param url of the directory, which others may be relative to
 */
function toDirectory(answer: Record<string, unknown>, url: string): Directory {
  const urls = resources.flatMap(name => {
    const named = answer[name];
    return typeof named === 'string' ? [[name, resolveUrl(named, { url })]] : [];
  });
  const meta = (typeof answer.meta === 'object' && answer.meta !== null ? answer.meta : {}) as Record<
    string,
    unknown
  >;
  const { termsOfService, externalAccountRequired, caaIdentities, profiles } = meta;
  return {
    urls: Object.fromEntries(urls),
    ...(typeof termsOfService === 'string' && { termsOfService }),
    externalAccountRequired: externalAccountRequired === true,
    caaIdentities: Array.isArray(caaIdentities) ? caaIdentities.filter(one => typeof one === 'string') : [],
    ...(typeof profiles === 'object' && profiles !== null && { profiles: Object.keys(profiles) }),
  };
}

/**
 * @param now milliseconds since the epoch
 * @throws IssuanceError `unavailable` where it is no directory: what stands in its place may go away
 */
export function parseDirectory(answer: HttpAnswer, now: number): Directory {
  const { url, status, headers, data } = answer;
  if (status === 200 && typeof data === 'object' && data !== null)
    return toDirectory(data as Record<string, unknown>, url);
  const retryAfter = parseRetryAfter(headers['retry-after'], now);
  const detail = `${url} is no ACME directory (${describeAnswer(answer)})`;
  throw new IssuanceError('unavailable', detail, { retryAfter });
}
