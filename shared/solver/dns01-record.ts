import { createHash } from 'node:crypto';
import type { ChallengeResponse } from './solver.ts';

/** A TXT record that proves a name (RFC 8555 section 8.4). */
export type Dns01Record = {
  /** Without a dot at its end, such as `_acme-challenge.example.org`. */
  name: string;
  value: string;
};

/**
 * A wildcard and the name that it stands below are proven at the same place, each with a value of its own.
 */
export function toDns01Record({
  identifier,
  keyAuthorization,
}: Omit<ChallengeResponse, 'token'>): Dns01Record {
  return {
    name: `_acme-challenge.${identifier.value.replace(/^\*\./, '')}`,
    value: createHash('sha256').update(keyAuthorization).digest('base64url'),
  };
}
