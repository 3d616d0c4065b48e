/**
 * A name that a certificate is for (RFC 8555 section 7.1.3, RFC 8738): a lower-cased A-label DNS name, perhaps with the
 * leftmost label `*`, or an IP address in its canonical text form (RFC 5952 for IPv6, without brackets).
 */
export type Identifier = { type: 'dns' | 'ip'; value: string };
