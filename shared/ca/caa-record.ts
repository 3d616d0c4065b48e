import type { ChallengeType } from '../base/identifier.ts';

/**
 * The CAA record that lets no other account of this CA have certificates for a name, nor this one by another
 * method (RFC 8657), as it is written into a zone behind the name.
 *
 * @param account `issuers`: what the CA calls itself in such records, each of which will do
 * @param methods those that the account uses; empty where that is not known, as any may be
 * @returns `undefined` where the CA says nothing that such a record can hold (RFC 8659 section 4.2)
 */
export function toCaaRecord(
  { url, issuers = [] }: { url: string; issuers?: string[] },
  methods: readonly ChallengeType[],
): string | undefined {
  const issuer = issuers.find(one => /^[a-z0-9-]+(\.[a-z0-9-]+)*$/i.test(one));
  if (issuer === undefined || !isParameterValue(url)) return undefined;
  const by = methods.length > 0 ? `; validationmethods=${[...new Set(methods)].join(',')}` : '';
  return `CAA 0 issue "${issuer}; accounturi=${url}${by}"`;
}

/** Without what a zone file would want escaped. */
const isParameterValue = (text: string) => /^[\x21-\x3a\x3c-\x7e]+$/.test(text) && !/["\\]/.test(text);
