import type { Identifier } from '../pki/identifier.ts';

/** What a CA will look for (RFC 8555 section 8). The key authorization is not to be logged or put into a job. */
export type ChallengeResponse = {
  identifier: Identifier;
  token: string;
  keyAuthorization: string;
};

/**
 * One way to prove control of a name: a `[verification]` block of the configuration, opened. Any number of processes use
 * it at once, and any of them may withdraw what another presented.
 *
 * `present` resolves once the response can be seen by whoever looks for it, and may be called again for the same
 * response. `withdraw` undoes it, may be called for a response that was never presented, and must leave other responses
 * for the same name alone. Both reject with an `IssuanceError`, or with the signal's reason.
 *
 * `test/contract/solver.contract.ts` says what every kind has to do.
 */
export type Solver = {
  readonly name: string;
  readonly challengeType: 'http-01' | 'dns-01' | 'tls-alpn-01';
  /** Whether the CA can validate this identifier by this kind of challenge at all (RFC 8555 section 8, RFC 8738). */
  canProve(identifier: Identifier): boolean;
  present(response: ChallengeResponse, signal: AbortSignal): Promise<void>;
  withdraw(response: ChallengeResponse, signal: AbortSignal): Promise<void>;
  /**
   * Looks where the CA will look, and tells in one line what is wrong with what it saw. `require`: an order does not go on
   * over a fault; `warn`: it does, and only the log and a later failure tell. Absent where nobody wants to look.
   */
  readonly selfCheck?: {
    mode: 'warn' | 'require';
    look(response: ChallengeResponse, signal: AbortSignal): Promise<string | undefined>;
  };
};
