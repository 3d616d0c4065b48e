import { IssuanceError } from '../base/errors.ts';
import { type CaConnection, sendRequest } from './ca-connection.ts';
import { parseRetryAfter } from './retry-after.ts';

const DIRECTORY_AGE = 3_600_000;

/** Whether the CA knows which certificate an order replaces (RFC 9773), and exempts such orders from its limits. */
export async function hasRenewalInfo(connection: CaConnection, signal: AbortSignal): Promise<boolean> {
  return typeof (await readDirectory(connection, signal)).renewalInfo === 'string';
}

/**
 * The CA's directory (RFC 8555 section 7.1.1), at most an hour old.
 *
 * @throws IssuanceError `unavailable` when it cannot be had
 */
export async function readDirectory(
  connection: CaConnection,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  const { directoryUrl, directory, clock } = connection;
  if (directory && clock.now() - directory.at < DIRECTORY_AGE) return directory.answer;
  const { status, headers, data } = await sendRequest(connection, signal, directoryUrl, 'get', undefined);
  if (status !== 200 || typeof data !== 'object' || data === null) {
    const retryAfter = parseRetryAfter(headers['retry-after'], clock.now());
    const detail = `${directoryUrl} is no ACME directory (status ${status})`;
    throw new IssuanceError('unavailable', detail, { retryAfter });
  }
  connection.directory = { answer: data as Record<string, unknown>, at: clock.now() };
  return connection.directory.answer;
}
