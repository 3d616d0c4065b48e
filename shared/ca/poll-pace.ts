const START = 250;
const SHORTEST = 5;
const LONGEST = 5_000;
/** Factors for the next pace, after a first poll that was too early or late. */
const LATER = 1.5;
const SOONER = 0.95;
/** Until the first poll that was too early, as it is not known yet how far there is to go. */
const MUCH_SOONER = 0.8;

/**
 * How long a CA takes as a rule, learnt from the orders of this process, so that the first poll comes neither too early nor
 * late: one CA validates in milliseconds, another in seconds. A poll too early costs a request and a quarter of a second, one
 * that is late a few milliseconds: so the pace goes up in strides and down in small steps.
 */
class PollPace {
  #first = START;
  #changed = 0;
  #hasBeenLate = false;

  /** Milliseconds to wait before the first poll, where the CA does not say. */
  get first(): number {
    return this.#first;
  }

  /** The first poll found what it was for, perhaps long after it was there. @param now milliseconds since the epoch */
  early(now: number): void {
    this.#change(Math.max(SHORTEST, this.#first * (this.#hasBeenLate ? SOONER : MUCH_SOONER)), now);
  }

  /** The first poll was too early. @param now milliseconds since the epoch */
  late(now: number): void {
    this.#hasBeenLate = true;
    this.#change(Math.min(LONGEST, this.#first * LATER), now);
  }

  /** Orders that were under way together have seen the same thing, which counts once. */
  #change(first: number, now: number): void {
    if (now - this.#changed < this.#first) return;
    this.#first = first;
    this.#changed = now;
  }
}

/** A CA validates and issues at paces of their own. */
export type PollPaces = { validation: PollPace; issuance: PollPace };

export const openPollPaces = (): PollPaces => ({ validation: new PollPace(), issuance: new PollPace() });

const FIRST_POLL = 250;
const LONGEST_POLL = 10_000;

/**
 * When to ask for the order again: when the CA said, else after `first`, then 250 ms, doubling up to 10 s. Where the CA says,
 * never sooner than after 250 ms, as its clock may be behind.
 *
 * @param polls how often it was asked too early
 * @param first milliseconds, as a PollPace knows them
 * @returns milliseconds since the epoch
 */
export function pollTime(
  polls: number,
  retryAfter: number | undefined,
  now: number,
  first = FIRST_POLL,
): number {
  if (retryAfter !== undefined) return Math.max(retryAfter, now + FIRST_POLL);
  return now + (polls === 0 ? first : Math.min(FIRST_POLL * 2 ** (polls - 1), LONGEST_POLL));
}
