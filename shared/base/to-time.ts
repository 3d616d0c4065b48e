/** RFC 3339, in whole seconds, as people and some ACME clients read it. @param at ms since the epoch */
export const toTime = (at: number): string => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
