import { resolve } from 'node:path';
import { atMost } from '../base/at-most.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { canProve } from '../base/identifier.ts';
import { type ProgramRun, runProgram, whyNotRunnable } from '../base/run-program.ts';
import { ConfigError, type Place } from '../config/config-error.ts';
import { inCode } from '../config/option-rows.ts';
import { wholeNumber } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import { toDns01Record } from './dns01-record.ts';
import type { ChallengeResponse, Kind, Solver, SolverParts } from './solver.ts';

const TIMEOUT = 60;

const challenges = ['http-01', 'dns-01', 'tls-alpn-01'] as const;

/**
 * Challenges that the operator's own program answers, as concorde's authenticators do; the workers run it.
 */
export const program: Kind<ProgramConfig> = {
  rows: {
    challenge: {
      meaning: `${challenges.map(inCode).join(', ')}: what the program answers`,
      otherwise: 'needed',
    },
    command: {
      meaning:
        "the program: an absolute path, or one that starts at the configuration file's folder. The whole value is the path; there is no shell and there are no arguments",
      otherwise: 'needed',
    },
    'cleanup-command': {
      meaning: 'a program that undoes what `command` did, once the CA has looked or the order is given up',
      otherwise: 'none',
    },
    timeout: {
      meaning: 'seconds, after which the program and all that it started are ended',
      otherwise: inCode(TIMEOUT),
    },
  },
  parse: parseProgram,
  open: openProgramSolver,
  require: requirePrograms,
  trial: {
    describe: ({ cleanup }, { identifier }) =>
      `ran with a test token for ${identifier.value}${cleanup ? ', and cleaned up' : ''}`,
  },
};

export type ProgramConfig = {
  name: string;
  type: 'program';
  challenge: (typeof challenges)[number];
  command: ProgramFile;
  /** Undoes what `command` did. */
  cleanup?: ProgramFile;
  /** Where it runs: the folder of the configuration file. */
  folder: string;
  /** Milliseconds. */
  timeout: number;
};

/** Only where it is to run, it has to be there: not every machine that reads the configuration holds it. */
export type ProgramFile = {
  /** Absolute. */
  path: string;
  place: Place;
};

function parseProgram(section: SectionReader): ProgramConfig {
  const parsePath: Parse<string> = (text, fail) => (text ? resolve(section.folder, text) : fail('is empty'));
  const challenge = section.one('challenge', parseChallenge);
  const command = section.one('command', parsePath);
  const cleanup = section.one('cleanup-command', parsePath);
  const timeout = section.one('timeout', wholeNumber(1, 3_600)) ?? TIMEOUT;
  section.finish();
  return {
    name: section.label,
    type: 'program',
    folder: section.folder,
    timeout: timeout * 1_000,
    challenge: challenge ?? section.fail(`is missing; known: ${challenges.join(', ')}`, 'challenge'),
    command: {
      path: command ?? section.fail('is missing: the path of a program', 'command'),
      place: section.place('command'),
    },
    ...(cleanup && { cleanup: { path: cleanup, place: section.place('cleanup-command') } }),
  };
}

const parseChallenge: Parse<ProgramConfig['challenge']> = (text, fail) =>
  challenges.find(one => one === text) ?? fail(`unknown challenge; known: ${challenges.join(', ')}`);

/** However many orders a worker drives, and however many names they have. */
const MOST_PROGRAMS = 16;

export function openProgramSolver(
  config: Omit<ProgramConfig, 'type'>,
  { log }: Pick<SolverParts, 'log'>,
): Solver {
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

/** A program's input about a challenge response: concorde's two lines, and the same in words. */
function toProgramInput(
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
function requirePrograms({ command, cleanup }: ProgramConfig): void {
  for (const { path, place } of cleanup ? [command, cleanup] : [command]) {
    const reason = whyNotRunnable(path);
    if (reason) throw new ConfigError(place, `${path} cannot be run: ${reason}`);
  }
}
