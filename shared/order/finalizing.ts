import { IssuanceError } from '../base/errors.ts';

// Some CAs issue before they answer to finalize, and call the order ready until then: a second one, as after
// the first was cut off, might issue twice.

/** Milliseconds; a connection that breaks off sooner was closed before the request came. */
const AT_ONCE = 2_000;

/**
 * Whether a request that failed may have come through: the CA itself said nothing, as where it is slower than
 * our patience or than that of a proxy in front of it, or nothing that can be read.
 *
 * @param took milliseconds from the request to its failure
 */
export const mayBeAtIt = (error: unknown, took: number) =>
  !(error instanceof IssuanceError) || // as the signal's reason
  (error.problem === undefined &&
    (error.code === 'unexpected' || (error.code === 'unavailable' && took >= AT_ONCE)));

/** Milliseconds from finalize on; after that, a CA that shows nothing of it has not got it. */
const LONGEST_FINALIZE = 180_000;

/** Whether the CA may be at it still. @param finalizedAt when finalize was sent */
export const isFinalizing = (finalizedAt: number, now: number) => now - finalizedAt < LONGEST_FINALIZE;
