import type { ChallengeType, Identifier } from '../pki/identifier.ts';

/** What a CA will look for (RFC 8555 section 8). The key authorization is not to be logged or put into a job. */
export type ChallengeResponse = {
  identifier: Identifier;
  token: string;
  keyAuthorization: string;
  /** Of dns-persist-01, which has no token: whom the record has to name. */
  persist?: { accountUrl: string; issuerDomainNames: string[] };
};

/**
 * Seconds for which a response stays that nobody withdraws: longer than any validation takes, and short enough that what a
 * killed worker left behind goes away by itself.
 */
export const RESPONSE_LIFE = 3_600;

/**
 * One way to prove control of a name: a `[verification]` block of the configuration, opened. Any number of processes use
 * it at once, and any of them may withdraw what another presented.
 *
 * `present` hands the response over to whoever answers the CA, and may be called again for the same response; where it
 * takes time until it can be seen, `propagation` tells. `withdraw` undoes it, may be called for a response that was never
 * presented, and must leave other responses for the same name alone. Both reject with an `IssuanceError`, or with the
 * signal's reason. A kind whose proof stands for good has nothing to do in either.
 *
 * `test/contract/solver.contract.ts` says what every other kind has to do.
 */
export type Solver = {
  readonly name: string;
  readonly challengeType: ChallengeType;
  /** Whether this solver can have the identifier validated at all; `canProve` of `challenge-type.ts`, or less. */
  canProve(identifier: Identifier): boolean;
  present(response: ChallengeResponse, signal: AbortSignal): Promise<void>;
  withdraw(response: ChallengeResponse, signal: AbortSignal): Promise<void>;
  /**
   * Where a response that was presented takes time to be seen, what is still missing, in one line: asked again and again
   * until it answers `undefined`. After `deadline` milliseconds the order fails with its last words.
   */
  readonly propagation?: {
    deadline: number;
    missing(response: ChallengeResponse, signal: AbortSignal): Promise<string | undefined>;
  };
  /**
   * Looks where the CA will look, and tells in one line what is wrong with what it saw. `require`: an order does not go on
   * over a fault; `warn`: it does, and only the log and a later failure tell. Absent where nobody wants to look.
   */
  readonly selfCheck?: {
    mode: 'warn' | 'require';
    look(response: ChallengeResponse, signal: AbortSignal): Promise<string | undefined>;
  };
};
