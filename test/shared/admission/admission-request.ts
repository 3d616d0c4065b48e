import type { AdmissionRequest } from '../../../shared/admission/methods.ts';

/** A post of a client that shows nothing but its address, unless a test says more. */
export const toRequest = (shown: Partial<AdmissionRequest> = {}): AdmissionRequest => ({
  ...{ clientIp: '192.0.2.1', method: 'POST', target: '/sign', claim: undefined },
  ...shown,
});
