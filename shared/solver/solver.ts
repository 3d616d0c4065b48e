import type { Clock, Log } from '../base/basics.ts';
import type { ChallengeType, Identifier } from '../base/identifier.ts';
import type { Store } from '../base/redis.ts';
import type { RedisUse } from '../base/redis-use.ts';
import type { OptionRows } from '../config/option-rows.ts';
import type { SectionReader } from '../config/section-reader.ts';

/**
 * What a CA will look for (RFC 8555 section 8). The key authorization is not to be logged or put into a job.
 */
export type ChallengeResponse = {
  identifier: Identifier;
  token: string;
  keyAuthorization: string;
  /** Of dns-persist-01, which has no token: whom the record has to name. */
  persist?: { accountUrl: string; issuerDomainNames: string[] };
};

/**
 * Seconds for which a response stays that is not withdrawn: longer than any validation takes, and short
 * enough that what a killed worker left behind goes away by itself.
 */
export const RESPONSE_LIFE = 3_600;

/**
 * One way to prove control of a name: a `[verification]` block of the configuration, opened. Any number of
 * processes use it at once, and any of them may withdraw what another presented.
 *
 * `present` hands the response over to the servers that answer the CA, and may be called again for the same
 * response; where it takes time until it can be seen, `propagation` says so. `withdraw` undoes it, may be
 * called for a response that was never presented, and must leave other responses for the same name alone.
 * Both reject with an `IssuanceError`, or with the signal's reason. A kind whose proof stands for good has
 * nothing to do in either.
 *
 * `test/contract/solver.contract.ts` says what every other kind has to do.
 */
export type Solver = {
  readonly name: string;
  readonly challengeType: ChallengeType;
  /**
   * Whether this solver can have the identifier validated at all; `canProve` of `challenge-type.ts`, or less.
   */
  canProve(identifier: Identifier): boolean;
  present(response: ChallengeResponse, signal: AbortSignal): Promise<void>;
  withdraw(response: ChallengeResponse, signal: AbortSignal): Promise<void>;
  /**
   * Where a response that was presented takes time to be seen, what is still missing, in one line: asked
   * again and again until it answers `undefined`. After `deadline` milliseconds the order fails with its last
   * words.
   */
  readonly propagation?: {
    deadline: number;
    missing(response: ChallengeResponse, signal: AbortSignal): Promise<string | undefined>;
  };
  /**
   * Looks where the CA will look, and says in one line what is wrong with what it saw. `require`: an order
   * does not go on over a fault; `warn`: it does, and only the log and a later failure say so. Absent where
   * there is no look.
   */
  readonly selfCheck?: {
    mode: 'warn' | 'require';
    look(response: ChallengeResponse, signal: AbortSignal): Promise<string | undefined>;
    /** What a look at it found wrong, in whatever process that was. */
    faultOf(response: ChallengeResponse): Promise<string | undefined>;
  };
};

/** What solvers may need, whatever their kind. */
export type SolverParts = { store: Store; clock: Clock; log: Log };

/**
 * A kind of solver, the whole of which is in a file of its own; `kinds.ts` lists all of them. A configuration
 * that has `listeners` is of a kind that the responders answer, in the way that its challenge wants.
 */
export type Kind<Config extends { name: string; type: string; challenge: ChallengeType }> = {
  /** Of the options behind its `type`. */
  rows: OptionRows;
  /** `[verification "name"]`, the options behind its `type`. */
  parse(section: SectionReader): Config;
  /**
   * Takes of the parts what it needs, so that a kind which needs no Redis can be tried where there is none.
   */
  open(config: Config, parts: SolverParts): Solver;
  /** What it touches in Redis, and who with which commands. */
  redisUses?: readonly RedisUse[];
  /** @throws ConfigError when this machine lacks what the solver needs */
  require?(config: Config): void;
  /**
   * How `quarry check --probe` tries a kind that no responder answers: it presents and withdraws a test
   * response.
   */
  trial?: {
    /** The name may be one that exists nowhere. */
    takesAnyName?: true;
    /** What was done, once it was. */
    describe(config: Config, response: ChallengeResponse): string;
  };
};
