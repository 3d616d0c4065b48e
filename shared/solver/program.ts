import { atMost } from '../base/at-most.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type ProgramRun, runProgram, whyNotRunnable } from '../base/run-program.ts';
import { ConfigError } from '../config/config-error.ts';
import { canProve } from '../pki/identifier.ts';
import { toDns01Record } from './dns01-record.ts';
import type { ProgramConfig, ProgramFile } from './program-section.ts';
import type { ChallengeResponse, Solver } from './solver.ts';

/** However many orders a worker drives, and however many names they have. */
const MOST_PROGRAMS = 16;

/** Challenges that the operator's own program answers, as concorde's authenticators do. */
export function openProgramSolver(config: ProgramConfig, log: Log): Solver {
  const { name, challenge, command, cleanup, folder, timeout } = config;
  const inTurn = atMost(MOST_PROGRAMS);
  const run = ({ path }: ProgramFile, response: ChallengeResponse, signal: AbortSignal) =>
    inTurn(() => runProgram({ path, folder, timeout, ...toProgramInput(challenge, response) }, signal));
  return {
    name,
    challengeType: challenge,
    canProve: identifier => canProve(challenge, identifier),
    async present(response, signal) {
      try {
        await run(command, response, signal);
      } catch (error) {
        signal.throwIfAborted();
        const reason = `the program of verification "${name}" ${describeError(error)}`;
        throw new IssuanceError('challengeFailed', `${response.identifier.value}: ${reason}`);
      }
    },
    async withdraw(response, signal) {
      if (!cleanup) return;
      try {
        await run(cleanup, response, signal);
      } catch (error) {
        signal.throwIfAborted();
        // The name is proven: what remains is the operator's to remove, and keeps no certificate back.
        const reason = describeError(error);
        log.warn({ verification: name, name: response.identifier.value, reason }, 'cleanup-command failed');
      }
    },
  };
}

/** What a program is told of a challenge response: concorde's two lines, and the same in words. */
export function toProgramInput(
  challenge: Solver['challengeType'],
  response: ChallengeResponse,
): Pick<ProgramRun, 'stdin' | 'environment' | 'secrets'> {
  const { identifier, token, keyAuthorization } = response;
  const record = challenge === 'dns-01' ? toDns01Record(response) : undefined;
  return {
    stdin: `${token}\n${keyAuthorization}\n`,
    environment: {
      QUARRY_IDENTIFIER: identifier.value,
      QUARRY_CHALLENGE: challenge,
      ...(record && { QUARRY_DNS_NAME: record.name, QUARRY_DNS_VALUE: record.value }),
    },
    // The account key's thumbprint, which follows the token, makes key authorizations of other tokens.
    secrets: [keyAuthorization, keyAuthorization.slice(token.length + 1)].filter(secret => secret !== ''),
  };
}

/** @throws ConfigError when one of the programs cannot be run here */
export function requirePrograms({ command, cleanup }: ProgramConfig): void {
  for (const { path, place } of cleanup ? [command, cleanup] : [command]) {
    const reason = whyNotRunnable(path);
    if (reason) throw new ConfigError(place, `${path} cannot be run: ${reason}`);
  }
}
