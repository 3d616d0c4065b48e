import { hash } from 'node:crypto';
import { toSignFailure } from '../base/errors.ts';
import type { Store } from '../base/redis.ts';
import type { SignResult } from './sign-job.ts';

const RESULT_LIFE_SECONDS = 24 * 3_600;
/** No result that holds the certificate lasts longer than this. */
const REVOKED_LIFE_SECONDS = RESULT_LIFE_SECONDS + 3_600;

/** The results of sign jobs, as long as Redis keeps them. */
export type Results = {
  /**
   * `undefined` also where the certificate of the result is withheld, and where what is there bears no seal.
   *
   * @throws IssuanceError `misconfigured` where it is damaged
   */
  readResult(jobId: string): Promise<SignResult | undefined>;
  /**
   * `undefined` where the certificate of the result is withheld. One that is damaged is a failure that
   * says so, and what bears no seal is `unsealedResult`, in the place of which the true one may still come.
   */
  readResults(jobIds: string[]): Promise<(SignResult | undefined)[]>;
  /** Has no result hand out a certificate that was revoked, or forgotten. @param certificate its PEM */
  withhold(certificate: string): Promise<void>;
};

/** What is there was made up, or by an earlier version. */
export const unsealedResult: SignResult = {
  ...{ outcome: 'failed', block: '' },
  error: {
    code: 'unavailable',
    detail:
      'the result in Redis bears no seal of this installation, and is not handed out: post the same CSR again',
  },
};

/**
 * @param key where it was found
 * @param sealed with its seal in front
 * @returns `unsealedResult` where it bears none
 * @throws IssuanceError `misconfigured` where it is damaged
 */
type ParseResult = (jobId: string, key: string, sealed: string | null | undefined) => SignResult | undefined;

/** @param resultKey where the result of a job is */
export function openResults(
  { redis, prefix }: Store,
  { resultKey, parse }: { resultKey: (jobId: string) => string; parse: ParseResult },
): Results {
  const revokedKey = (chain: string) => `${prefix}:revoked:${fingerprint(chain)}`;

  async function dropRevoked(results: (SignResult | undefined)[]): Promise<typeof results> {
    const marks = results.map(result => (result?.outcome === 'issued' ? revokedKey(result.chain) : ''));
    const wanted = marks.filter(mark => mark !== '');
    if (wanted.length === 0) return results;
    const found = await redis.mget(wanted);
    const revoked = new Set(wanted.filter((_, index) => found[index] !== null));
    return results.map((result, index) => (revoked.has(marks[index] ?? '') ? undefined : result));
  }

  return {
    readResult: async jobId => {
      const key = resultKey(jobId);
      const result = parse(jobId, key, await redis.get(key));
      return result === unsealedResult ? undefined : (await dropRevoked([result]))[0];
    },
    readResults: async jobIds => {
      if (jobIds.length === 0) return [];
      const read = await redis.mget(jobIds.map(resultKey));
      return dropRevoked(jobIds.map((jobId, at) => readAt(parse, jobId, resultKey(jobId), read[at])));
    },
    withhold: async certificate => {
      await redis.set(revokedKey(certificate), '1', 'EX', REVOKED_LIFE_SECONDS);
    },
  };
}

/** One that is damaged must not keep the others from who waits for them. */
function readAt(parse: ParseResult, ...read: Parameters<ParseResult>): SignResult | undefined {
  try {
    return parse(...read);
  } catch (error) {
    return { outcome: 'failed', block: '', error: toSignFailure(error) };
  }
}

/** Of the first certificate of a chain. */
function fingerprint(chain: string): string {
  const [leaf = chain] = chain.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/) ?? [];
  return hash('sha256', leaf);
}
