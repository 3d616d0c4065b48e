import { readFileSync } from 'node:fs';
import type { ProxyEnv } from 'node:http';
import { openCaConnection, readDirectory } from '../../../shared/acme/connection.ts';
import type { Directory } from '../../../shared/acme/directory.ts';
import { describeError } from '../../../shared/base/errors.ts';
import { USER_AGENT } from '../../../shared/base/version.ts';

/** Milliseconds that somebody at a terminal waits for a CA. */
const LONGEST_LOOK = 10_000;

/**
 * What a CA says of itself, or why it cannot be asked.
 *
 * @param caFile PEM certificates of the authorities to trust in place of the system's
 */
export type LookAtCa = (
  directoryUrl: string,
  caFile: string | undefined,
) => Promise<Directory | { fault: string }>;

export const openLookAtCa =
  (proxy: ProxyEnv | undefined): LookAtCa =>
  async (directoryUrl, caFile) => {
    const ca = caFile === undefined ? undefined : [readFileSync(caFile, 'utf8')];
    using connection = openCaConnection({ directoryUrl, userAgent: USER_AGENT, ca, proxy });
    try {
      const directory = await readDirectory(connection, AbortSignal.timeout(LONGEST_LOOK), LONGEST_LOOK);
      const { newAccount, newOrder } = directory.urls;
      return newAccount && newOrder ? directory : { fault: `${directoryUrl} is no ACME directory` };
    } catch (error) {
      return { fault: describeError(error) };
    }
  };

/** Whether it can be asked once it is known whom to trust. */
export const isDistrusted = (fault: string) => /certificate/i.test(fault);

/** What a CA gives for its terms, for a terminal: a link without anything else in it. */
export const toTermsUrl = ({ termsOfService }: Directory): string | undefined =>
  termsOfService !== undefined && /^(https?|data):[\x21-\x7e]+$/i.test(termsOfService)
    ? termsOfService
    : undefined;
