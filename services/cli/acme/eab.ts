import type { NewAccount } from '../../../shared/acme/account.ts';
import { parseEabKey } from '../../../shared/ca/account-section.ts';
import type { Environment } from '../../../shared/config/environment.ts';
import { UsageError } from '../command.ts';
import type { Given } from '../form.ts';
import { readText } from './session.ts';

/**
 * The external account binding (RFC 8555 section 7.3.4) that the options and the environment name, if they
 * do.
 */
export async function readEab(given: Given, env: Environment): Promise<NewAccount['eab']> {
  const kid = given.option('eab-kid');
  const file = given.option('eab-hmac-key-file');
  const inArgv = given.option('eab-hmac-key');
  if (inArgv !== undefined && file !== undefined)
    throw new UsageError('give --eab-hmac-key or its -file, not both');
  if (kid === undefined) {
    if (inArgv === undefined && file === undefined) return undefined;
    throw new UsageError('--eab-kid is needed beside the HMAC key');
  }
  const text = inArgv ?? (file === undefined ? env.QUARRY_EAB_HMAC_KEY : await readText(file));
  if (!text)
    throw new UsageError('--eab-kid needs --eab-hmac-key-file, --eab-hmac-key or QUARRY_EAB_HMAC_KEY');
  const hmacKey = parseEabKey(text.trim(), reason => {
    throw new UsageError(`the HMAC key of the external account binding ${reason}`);
  });
  return { kid, hmacKey };
}
