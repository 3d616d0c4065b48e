import type { HmacClaim } from './hmac.ts';

/** What a client shows of itself. */
export type AdmissionRequest = {
  /** Canonical: IPv4-mapped addresses as IPv4, without zone. See clientAddress(). */
  clientIp: string;
  /** What its Authentication header says, not verified yet. */
  claim: HmacClaim | undefined;
};

/** One way of an auth block to know its clients. */
export type AdmissionMethod = {
  /** Cheap, before the body is read: whether `holds` could come out true. */
  possible(request: AdmissionRequest): boolean;
  /** Whether the request is this block's, its body (the bytes as posted) included. */
  holds(request: AdmissionRequest, message: Buffer): boolean;
};
