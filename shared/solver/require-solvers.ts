import { requirePrograms } from './program.ts';
import type { VerificationConfig } from './verification-section.ts';

/**
 * Looks for what the verifications need on the machine where they are used, before the first order does.
 *
 * @throws ConfigError for the first that lacks something
 */
export function requireSolvers(configs: Iterable<VerificationConfig>): void {
  for (const config of configs) if (config.type === 'program') requirePrograms(config);
}
