/** The reasons of RFC 5280 section 5.3.1 that publicly trusted CAs take from a subscriber, with their codes. */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  superseded: 4,
  cessationOfOperation: 5,
} as const;

export type RevocationReason = keyof typeof revocationReasons;

const byName = Object.entries(revocationReasons) as [RevocationReason, number][];

/** @param text a reason's name, in whatever case, or its code; @returns `undefined` for any other text */
export function parseRevocationReason(text: string): RevocationReason | undefined {
  return byName.find(([name, code]) => name.toLowerCase() === text.toLowerCase() || `${code}` === text)?.[0];
}

/** For people: what may be given. */
export const REASONS_TEXT = byName.map(([name, code]) => `${name} (${code})`).join(', ');
