import type { AcmeAccount } from '../acme/client.ts';
import type { CaConnection } from '../acme/connection.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { orAborted } from '../base/or-aborted.ts';
import { parseNumber, runScript, type Store, toScript } from '../base/redis.ts';

/** The account that orders are made with, and the way to a new one when the CA no longer knows it. */
export type AccountHolder = {
  /** @throws IssuanceError that says why there is no account yet, or why it is of no use any more */
  current(): AcmeAccount;
  /** Why there is no account that works, in one line; `undefined` where there is. */
  fault(): string | undefined;
  /** Opens the account unless it is open; once, however many ask. */
  open(signal: AbortSignal): Promise<AcmeAccount>;
  /** Looks an account that the CA has lost up by its key, or makes it anew; once, however many ask. */
  renew(lost: AcmeAccount, signal: AbortSignal): Promise<void>;
  /** Notes that the CA refuses the account, as one that was deactivated; `undefined`: that it works. */
  note(refused: IssuanceError | undefined): void;
};

/** What an account is opened from. @param lost an account URL that the CA no longer knows */
export type OpenAccount = (
  connection: CaConnection,
  signal: AbortSignal,
  lost?: string,
) => Promise<AcmeAccount>;

/** How an account is: its URL, and what CAA records call its CA; or why it is of no use, in one line. */
export type AccountState = { url: string; issuers?: string[] } | { fault: string };

/** @param changed gets how the account is, each time that changes */
export function holdAccount(
  connection: CaConnection,
  openAccount: OpenAccount,
  changed: (state: AccountState) => void = () => {},
): AccountHolder {
  let account: AcmeAccount | undefined;
  let fault: unknown = new IssuanceError('unavailable', 'the account is not open yet');
  let opening: Promise<AcmeAccount> | undefined;

  function become(next: { account?: AcmeAccount; fault?: unknown }): void {
    account = next.account ?? account;
    fault = next.fault;
    if (fault !== undefined) changed({ fault: describeError(fault) });
    else if (account) changed({ url: account.url });
  }

  async function open(lost?: string): Promise<AcmeAccount> {
    try {
      const opened = await openAccount(connection, new AbortController().signal, lost);
      become({ account: opened });
      return opened;
    } catch (error) {
      become({ fault: error });
      throw error;
    } finally {
      opening = undefined;
    }
  }

  /** The signal of one caller does not end it for the others: the requests' own timeouts do. */
  function openOnce(signal: AbortSignal, lost?: string): Promise<AcmeAccount> {
    opening ??= open(lost);
    return orAborted(opening, signal);
  }

  return {
    current() {
      if (account) return account;
      throw fault;
    },
    fault: () => (fault === undefined ? undefined : describeError(fault)),
    open: async signal => account ?? openOnce(signal),
    async renew(lost, signal) {
      if (account && lost.url !== account.url) return; // another job has renewed it
      await openOnce(signal, lost.url);
    },
    note(refused) {
      if (describeError(refused) !== describeError(fault)) become({ fault: refused });
    },
  };
}

const START = 250;
const SHORTEST = 5;
const LONGEST = 5_000;
/** What a first poll that was early or late makes of the next one. */
const LATER = 1.5;
const SOONER = 0.95;
/** Until the first poll that came in vain, as nobody knows yet how far there is to go. */
const MUCH_SOONER = 0.8;

/**
 * How long a CA takes as a rule, learnt from the orders of this process, so that the first poll comes neither
 * in vain nor late: one CA validates in milliseconds, another in seconds. A poll in vain costs a request and
 * a quarter of a second, one that is late a few milliseconds: so the pace goes up in strides and down in
 * small steps.
 */
class PollPace {
  #first = START;
  #changed = 0;
  #hasBeenLate = false;

  /** Milliseconds to wait before the first poll, where the CA does not say. */
  get first(): number {
    return this.#first;
  }

  /** The first poll found what it was for, perhaps late. @param now milliseconds since the epoch */
  early(now: number): void {
    this.#change(Math.max(SHORTEST, this.#first * (this.#hasBeenLate ? SOONER : MUCH_SOONER)), now);
  }

  /** The first poll came in vain. @param now milliseconds since the epoch */
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

/** Failures in a row, within `WINDOW` milliseconds of the first, that open the breaker. */
const MOST_FAILURES = 3;
const WINDOW = 60_000;
/** Milliseconds until the first probe; each probe that fails doubles the pause. */
const FIRST_PAUSE = 10_000;
const LONGEST_PAUSE = 300_000;
/** Milliseconds that a probe has to report before another is let through. */
const PROBE_LIFE = 60_000;
/** Milliseconds without any word after which a breaker is forgotten. */
const LIFE = 24 * 3_600_000;

/**
 * Whether a CA can be reached, as the whole fleet has found: open after three failures in a row, and closed
 * by the first answer. While it is open one order at a time probes the CA; the others go elsewhere.
 */
export type Breaker = {
  /** `probe`: the caller alone is to try, and to report; `open`: it is not to try. */
  admit(): Promise<'closed' | 'probe' | 'open'>;
  /** @param reason one line @returns whether this failure has opened it */
  failed(reason: string): Promise<boolean>;
  /** @returns whether this answer has closed it */
  answered(): Promise<boolean>;
  /** @returns when it was opened (milliseconds since the epoch) and by what; `undefined` while closed */
  opened(): Promise<{ since: number; reason: string } | undefined>;
};

// The breaker is one hash: `failures` in a row and the time of the `first`, or `since`, `reason`, the time of
// the next `probe` and the `pause` after it. Redis's own clock counts, as machines' clocks differ.
const NOW = `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** KEYS: the breaker. ARGV: how long a probe has, the longest pause. Answers the state, 1 if any is known. */
const ADMIT = toScript(`${NOW}
local probe = redis.call('HGET', KEYS[1], 'probe')
if not probe then return {'closed', redis.call('EXISTS', KEYS[1])} end
if now < tonumber(probe) and probe - now <= tonumber(ARGV[2]) then return {'open', 1} end
redis.call('HSET', KEYS[1], 'probe', now + ARGV[1], 'probing', '1')
return {'probe', 1}`);

/** KEYS: the breaker. ARGV: most failures, window, first pause, longest pause, life, reason. 1: it opens. */
const FAILED = toScript(`${NOW}
local key = KEYS[1]
if redis.call('HEXISTS', key, 'since') == 1 then
  if redis.call('HDEL', key, 'probing') == 1 then
    local pause = math.min(2 * redis.call('HGET', key, 'pause'), ARGV[4])
    redis.call('HSET', key, 'pause', pause, 'probe', now + pause, 'reason', ARGV[6])
  end
  return 0
end
local first = tonumber(redis.call('HGET', key, 'first') or now)
local failures = 1 + (redis.call('HGET', key, 'failures') or 0)
if now - first > tonumber(ARGV[2]) then first, failures = now, 1 end
if failures < tonumber(ARGV[1]) then
  redis.call('HSET', key, 'first', first, 'failures', failures)
  redis.call('PEXPIRE', key, ARGV[2])
  return 0
end
redis.call('DEL', key)
redis.call('HSET', key, 'since', now, 'probe', now + ARGV[3], 'pause', ARGV[3], 'reason', ARGV[6])
redis.call('PEXPIRE', key, ARGV[5])
return 1`);

/** KEYS: the breaker. Answers 1 where it was open. */
const ANSWERED = toScript(`
local open = redis.call('HEXISTS', KEYS[1], 'since')
redis.call('DEL', KEYS[1])
return open`);

/**
 * @param ca as `caOf` names it: accounts at one CA share its breaker
 * @param pauses milliseconds, where a test cannot wait
 */
export function openBreaker(
  { redis, prefix }: Store,
  ca: string,
  pauses = { first: FIRST_PAUSE, longest: LONGEST_PAUSE },
): Breaker {
  const longest = Math.max(pauses.longest, PROBE_LIFE); // a later probe was set by a clock that was ahead
  const key = `${prefix}:breaker:${ca}`;
  /** Whether there may be failures to forget, so that an answer of a healthy CA costs no command. */
  let suspected = false;
  return {
    async admit() {
      const [state, known] = (await runScript(redis, ADMIT, [key], [PROBE_LIFE, longest])) as [
        'closed' | 'probe' | 'open',
        number,
      ];
      suspected ||= known === 1;
      return state;
    },
    async failed(reason) {
      suspected = true;
      const figures = [MOST_FAILURES, WINDOW, pauses.first, pauses.longest, LIFE, reason];
      return (await runScript(redis, FAILED, [key], figures)) === 1;
    },
    async answered() {
      if (!suspected) return false;
      suspected = false;
      return (await runScript(redis, ANSWERED, [key], [])) === 1;
    },
    async opened() {
      const [since, reason] = await redis.hmget(key, 'since', 'reason');
      return since ? { since: parseNumber(`${key} since`, since), reason: reason ?? '' } : undefined;
    },
  };
}
