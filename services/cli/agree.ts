import { createInterface } from 'node:readline/promises';
import { UsageError } from './command.ts';

/**
 * Whether the operator says yes at the terminal.
 *
 * @param otherwise what is not done where there is no terminal to ask at, such as `nothing is revoked`
 * @throws UsageError where there is none
 */
export async function isAgreedTo(otherwise: string): Promise<boolean> {
  if (!process.stdin.isTTY)
    throw new UsageError(`${otherwise}, as there is no terminal to ask at; say --yes`);
  const asking = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await asking.question('Go on? [y/N] ')).trim());
  } finally {
    asking.close();
  }
}
