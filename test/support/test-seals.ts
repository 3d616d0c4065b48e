import { openSeals } from '../../shared/admission/hmac.ts';

/** Those of an installation that all sides of a test share. */
export const testSecret = 'a secret of thirty-three letters.';
export const testSeals = openSeals(Buffer.from(testSecret));
