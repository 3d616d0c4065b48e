import type { Place } from './config-error.ts';
import type { Environment } from './environment.ts';
import type { Hidden } from './hidden.ts';

/** What the reading of all sections has in common. */
export type Reading = {
  /** Where `${env:NAME}` and `${credential:NAME}` come from. */
  env: Environment;
  /** Where warnings are collected, one line each. */
  warnings: string[];
  /** Where it is collected what came in so. */
  hidden: Hidden[];
  /** Where it is collected which files hold secrets, and by which option. */
  secretFiles: SecretFile[];
};

export type SecretFile = { file: string; place: Place };
