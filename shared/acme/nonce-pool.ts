const MOST = 32;
const OLDEST = 60_000;

/**
 * Nonces that a CA handed out with its answers (RFC 8555 section 6.5), one pool per CA and process. Last in, first out:
 * the freshest is the least likely to have been forgotten by the CA.
 */
export class NoncePool {
  #nonces: { value: string; at: number }[] = [];

  /** @param now milliseconds since the epoch */
  put(value: string, now: number): void {
    this.#nonces.push({ value, at: now });
    if (this.#nonces.length > MOST) this.#nonces.shift();
  }

  /** A nonce of the last minute, handed out once; `undefined` when there is none. */
  take(now: number): string | undefined {
    const last = this.#nonces.pop();
    if (last && now - last.at <= OLDEST) return last.value;
    this.#nonces = [];
    return undefined;
  }
}
