import { randomBytes } from 'node:crypto';
import type { Seals } from '../admission/hmac.ts';
import type { Clock } from '../base/basics.ts';
import { needingRedis, runScript, type Store, toScript } from '../base/redis.ts';
import { AcmeError } from './problem.ts';

// Replay protection (RFC 8555 section 6.5). A nonce says when it was made, and bears a MAC of the
// installation, so that it costs nothing until it is used: only used ones are remembered, for as long as
// they would be good.

/** Milliseconds that a nonce is good for. */
const LIFE = 60 * 60_000;
/** Milliseconds by which the clocks of two intakes may differ, or one may be set back. */
const APART = 60_000;

/** Characters: when it was made in milliseconds, what is random, and the MAC; all in hex. */
const [TIME, RANDOM, MAC] = [12, 20, 32];
const form = new RegExp(`^[0-9a-f]{${TIME + RANDOM + MAC}}$`);

/**
 * Takes a nonce once, and reads what the request needs besides. KEYS: the nonce, and what is read. ARGV: for
 * how many milliseconds it stays known. Answers whether it is taken, and the values.
 */
const SPEND = toScript(`local taken = redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[1])
local values = {taken and 1 or 0}
for at = 2, #KEYS do values[at] = redis.call('GET', KEYS[at]) end
return values`);

export type Nonces = {
  make(): string;
  /** By time and MAC, without Redis. @throws AcmeError `badNonce` in words of what is wrong */
  check(nonce: string): void;
  /**
   * Takes a nonce that was checked, once, and reads the values of keys in the same round trip. Called for
   * requests with a good signature alone, so that nobody else can fill Redis.
   *
   * @returns `null` for each key that is not there
   * @throws AcmeError `badNonce` for one that came before
   * @throws IssuanceError `unavailable` when Redis cannot be reached
   */
  spend(nonce: string, keys: readonly string[]): Promise<(string | null)[]>;
};

export function openNonces({ redis, prefix }: Store, seals: Seals, clock: Clock): Nonces {
  const macOf = (text: string) => seals.sealOf('acme nonce', text).slice(0, MAC);
  const madeAt = (nonce: string) => Number.parseInt(nonce.slice(0, TIME), 16);
  return {
    make() {
      const text = clock.now().toString(16).padStart(TIME, '0') + randomBytes(RANDOM / 2).toString('hex');
      return text + macOf(text);
    },
    check(nonce) {
      const text = nonce.slice(0, TIME + RANDOM);
      const isOurs = form.test(nonce) && nonce === text + macOf(text);
      if (!isOurs) throw badNonce('it was not made here');
      const age = clock.now() - madeAt(nonce);
      if (age > LIFE || age < -APART) throw badNonce('it has expired');
    },
    async spend(nonce, keys) {
      const life = Math.max(madeAt(nonce) + LIFE - clock.now(), 0) + 2 * APART;
      const used = `${prefix}:acme:nonce:${nonce.slice(0, TIME + RANDOM)}`;
      const answer = await needingRedis(() => runScript(redis, SPEND, [used, ...keys], [life]));
      const [taken, ...values] = answer as [number, ...(string | null)[]];
      if (taken !== 1) throw badNonce('it was used before');
      return values;
    },
  };
}

/** acme.sh knows by these words that it has to try again with another nonce. */
const badNonce = (why: string) => new AcmeError('badNonce', `JWS has an invalid anti-replay nonce: ${why}`);
