import type { AdmissionMethod } from './method.ts';

/** `all = yes`: every client. */
export const allMethod: AdmissionMethod = {
  possible: () => true,
  holds: () => true,
};
