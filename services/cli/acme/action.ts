import type { Io } from '../command.ts';
import type { Given } from '../form.ts';

/** One thing that `quarry acme` does. */
export type AcmeAction = {
  /** What follows `quarry acme`, as `parseForm` reads it. */
  usage: string;
  /** What it does, in one line. */
  summary: string;
  /** What follows `quarry acme`, to copy. */
  example: string;
  /** @throws IssuanceError as the CA says, or an Error with one line */
  run(given: Given, io: Io): Promise<void>;
};
