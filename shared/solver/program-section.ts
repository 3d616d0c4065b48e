import { resolve } from 'node:path';
import type { Place } from '../config/config-error.ts';
import { wholeNumber } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';

const challenges = ['http-01', 'dns-01', 'tls-alpn-01'] as const;

/** Challenges that a program answers, which the workers run. */
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

export function parseProgram(section: SectionReader): ProgramConfig {
  const parsePath: Parse<string> = (text, fail) => (text ? resolve(section.folder, text) : fail('is empty'));
  const challenge = section.one('challenge', parseChallenge);
  const command = section.one('command', parsePath);
  const cleanup = section.one('cleanup-command', parsePath);
  const timeout = section.one('timeout', wholeNumber(1, 3_600)) ?? 60;
  section.finish();
  return {
    ...{ name: section.label, type: 'program', folder: section.folder, timeout: timeout * 1_000 },
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
