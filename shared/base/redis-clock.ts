import type { Redis } from 'ioredis';
import { type Clock, type Log, type OwnClocks, ownClocks, steadyClock } from './basics.ts';
import { describeError } from './errors.ts';
import { orAborted } from './or-aborted.ts';
import { codeOf } from './redis-errors.ts';

/**
 * Redis's clock, by which all processes agree (clocks.md). Between two looks it goes on evenly, whatever
 * becomes of this machine's clock; until Redis has told its time, it is this machine's.
 */
export type RedisClock = Clock &
  Disposable & {
    /**
     * Resolves once Redis has told its time, or refused to, and one of the two clocks may be right: what is
     * done in 1970 would have to be undone. Rejects with the signal's reason.
     */
    untilTold(signal: AbortSignal): Promise<void>;
    /** By how many milliseconds this machine's clock is ahead; `undefined` until Redis has told. */
    ahead(): number | undefined;
    /** What an operator should know of it, a line each. */
    notes(): string[];
  };

/** Milliseconds between two looks, but for a connection that is new or a clock of this machine that jumps. */
const INTERVAL = 60_000;
const CHECK = 5_000;
const JUMP = 1_000;
/** The quickest of so many answers says it best. */
const SAMPLES = 4;
/** A difference that is worth a note. */
const NOTED = 60_000;

/** No clock that is right shows a time before this was written. */
const EARLIEST = Date.UTC(2025, 6, 1);

const isImpossible = (time: number) => time < EARLIEST;

/** When TIME was sent and when its answer came, by one clock, and what that was; in milliseconds. */
type TimeAnswer = { sent: number; received: number; time: number };

/**
 * How much Redis's clock shows more than the one by which the question was timed: Redis read its clock
 * between the two moments, so what is known stays unless an answer contradicts it.
 *
 * @param known `undefined` where nothing is
 */
function learnOffset(known: number | undefined, { sent, received, time }: TimeAnswer): number {
  const [least, most] = [time - received, time - sent];
  const agrees = known !== undefined && known >= least && known <= most;
  return agrees ? known : (least + most) / 2;
}

/**
 * @param redis may be away, and stays open
 * @param own other clocks than the system's
 */
export function openRedisClock(redis: Redis, log: Log, own: OwnClocks = ownClocks): RedisClock {
  const { local, elapsed } = own;
  const told = Promise.withResolvers<void>();
  /** What Redis has told, whether or not that can be right. */
  let offset: number | undefined;
  let refusal: string | undefined;
  /** What is gone by. */
  const used: { offset?: number | undefined } = {};
  const clock = steadyClock(own, used);
  let lookedAt = Number.NEGATIVE_INFINITY;
  /** By how much this machine's clock showed more than `elapsed` at the last look. */
  let localOffset = 0;
  let isNoted = false;

  async function ask(): Promise<TimeAnswer> {
    const sent = elapsed();
    const [seconds = 0, microseconds = 0] = await redis.time();
    return { sent, received: elapsed(), time: Number(seconds) * 1_000 + Number(microseconds) / 1_000 };
  }

  async function learn(): Promise<void> {
    for (let count = 0; count < SAMPLES; count++) offset = learnOffset(offset, await ask());
    const isUsed = !isImpossible(redisTime() ?? 0) || isImpossible(local.now());
    used.offset = isUsed ? offset : undefined;
  }

  async function look(): Promise<void> {
    lookedAt = elapsed();
    localOffset = local.now() - lookedAt;
    const error = await learn().then(
      () => undefined,
      (failure: Error) => failure,
    );
    refusal = error && codeOf(error) === 'NOPERM' ? describeError(error) : undefined;
    const isKnown = error === undefined || refusal !== undefined;
    if (isKnown && !isImpossible(clock.now())) told.resolve();
    else lookedAt = Number.NEGATIVE_INFINITY;
    const said = describe();
    if (said !== undefined && !isNoted) log.warn(said);
    if (said === undefined && isNoted) log.info("this machine's clock and Redis's agree again");
    isNoted = said !== undefined;
  }

  const redisTime = () => (offset === undefined ? undefined : elapsed() + offset);

  function describe(): string | undefined {
    if (refusal !== undefined)
      return `Redis does not tell its time, so this machine's clock is used: ${refusal}`;
    const time = redisTime();
    return time === undefined ? undefined : describeDifference(local.now(), time);
  }

  const isTime = () =>
    elapsed() - lookedAt >= INTERVAL || Math.abs(local.now() - elapsed() - localOffset) > JUMP;
  const timer = setInterval(() => {
    if (redis.status === 'ready' && isTime()) void look();
  }, CHECK).unref();
  redis.on('ready', look);
  if (redis.status === 'ready') void look();

  return {
    ...clock,
    untilTold: signal => orAborted(told.promise, signal),
    ahead() {
      const time = redisTime();
      return time === undefined ? undefined : local.now() - time;
    },
    notes() {
      const said = describe();
      return said === undefined ? [] : [said];
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      redis.off('ready', look);
    },
  };
}

/** @returns `undefined` where there is nothing to say */
function describeDifference(local: number, redis: number): string | undefined {
  if (isImpossible(redis)) return `Redis's clock cannot be right: it shows ${new Date(redis).toISOString()}`;
  const [apart, where] = [Math.abs(local - redis), local > redis ? 'ahead of' : 'behind'];
  if (apart <= NOTED) return undefined;
  return `this machine's clock is ${describeSpan(apart)} ${where} Redis's`;
}

/** The two largest units of it: `2 h 3 min`. */
function describeSpan(milliseconds: number): string {
  const minutes = Math.round(milliseconds / 60_000);
  const units = [
    `${Math.floor(minutes / 1_440)} d`,
    `${Math.floor(minutes / 60) % 24} h`,
    `${minutes % 60} min`,
  ];
  const first = units.findIndex(unit => !unit.startsWith('0 '));
  const said = units.slice(first, first + 2).filter(unit => !unit.startsWith('0 '));
  return said.join(' ');
}
