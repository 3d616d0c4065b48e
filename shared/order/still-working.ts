import { IssuanceError } from '../base/errors.ts';

const MINUTE = 60_000;

/** The CA has not come to an end with the order yet; a later drive may go on with it. */
export class StillWorkingError extends IssuanceError {
  /**
   * @param until when the CA was to be asked again; the others in milliseconds, `longest`: the patience for
   * it
   */
  constructor(until: number, now: number, longest: number) {
    // No pause of Quarry's own is as long.
    const isTold = until - now > MINUTE;
    const patience = longest === 60 * MINUTE ? 'an hour' : `${Math.round(longest / MINUTE)} minutes`;
    const time = new Date(until).toISOString();
    const detail = isTold
      ? `the CA is still working on the order, and wants to be asked again at ${time}`
      : `the CA does not finish the order within ${patience}`;
    super('unavailable', detail, { retryAfter: isTold ? until : now + MINUTE });
  }
}
