import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import type { Pebble } from './pebble.ts';

/**
 * Has Pebble answer questions for a certificate's renewal information with this from now on.
 *
 * @param certificate PEM; the first one in it is meant
 * @param answer JSON, or any text
 */
export async function setRenewalInfo(
  pebble: Pebble,
  certificate: string,
  answer: object | string,
): Promise<void> {
  const response = typeof answer === 'string' ? answer : JSON.stringify(answer);
  const body = JSON.stringify({ Certificate: certificate, ARIResponse: response });
  const ca = await readFile(pebble.caFile, 'utf8');
  const { status, said } = await new Promise<{ status: number | undefined; said: string }>(
    (resolve, reject) => {
      const posted = request(
        `${pebble.managementUrl}/set-renewal-info/`,
        { method: 'POST', ca, agent: false, headers: { 'User-Agent': 'quarry-test' } },
        answered => text(answered).then(said => resolve({ status: answered.statusCode, said }), reject),
      );
      posted.on('error', reject);
      posted.end(body);
    },
  );
  assert.equal(status, 200, said);
}

/** A window, in milliseconds from now. */
export const windowFromNow = (start: number, end: number, explanationURL?: string) => ({
  suggestedWindow: {
    start: new Date(Date.now() + start).toISOString(),
    end: new Date(Date.now() + end).toISOString(),
  },
  ...(explanationURL && { explanationURL }),
});
