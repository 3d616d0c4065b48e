import { hash } from 'node:crypto';
import { toSignFailure } from '../base/basics.ts';
import { parseValue, type Store } from '../base/redis.ts';
import { isSignResult, type SignResult } from './sign-job.ts';

const RESULT_LIFE_SECONDS = 24 * 3_600;
/** No result that holds the certificate lasts longer than this. */
const REVOKED_LIFE_SECONDS = RESULT_LIFE_SECONDS + 3_600;

/** The results of sign jobs, as long as Redis keeps them. */
export type Results = {
  /**
   * `undefined` also where the certificate of the result was revoked since; so does `readResults`.
   *
   * @throws IssuanceError `misconfigured` where it is damaged
   */
  readResult(jobId: string): Promise<SignResult | undefined>;
  /** One that is damaged is a failure that says so. */
  readResults(jobIds: string[]): Promise<(SignResult | undefined)[]>;
  /** Has no result hand out a certificate any more. @param certificate its PEM */
  markRevoked(certificate: string): Promise<void>;
};

export const parseResult = (key: string, text: string | null | undefined) =>
  text ? parseValue(key, text, isSignResult) : undefined;

/** @param resultKey where the result of a job is */
export function openResults({ redis, prefix }: Store, resultKey: (jobId: string) => string): Results {
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
      return (await dropRevoked([parseResult(key, await redis.get(key))]))[0];
    },
    readResults: async jobIds => {
      if (jobIds.length === 0) return [];
      const keys = jobIds.map(resultKey);
      return dropRevoked((await redis.mget(keys)).map((text, at) => readAt(keys[at] ?? '', text)));
    },
    markRevoked: async certificate => {
      await redis.set(revokedKey(certificate), '1', 'EX', REVOKED_LIFE_SECONDS);
    },
  };
}

/** One that is damaged must not keep the others from who waits for them. */
function readAt(key: string, text: string | null): SignResult | undefined {
  try {
    return parseResult(key, text);
  } catch (error) {
    return { outcome: 'failed', block: '', error: toSignFailure(error) };
  }
}

/** Of the first certificate of a chain. */
function fingerprint(chain: string): string {
  const [leaf = chain] = chain.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/) ?? [];
  return hash('sha256', leaf);
}
