/**
 * What happened. `admitted`: an auth block let a client order. `refused`: a request got nothing. `ordered`: a
 * CA has made the order. `issued`: a CA has issued. `failed`: a job ended without a certificate.
 * `handed-out`: a client got a certificate that was there already. `renewed`: a scheduler has a certificate
 * renewed. `revoked`: the CA has revoked. `operator`: an act at a command line.
 */
type TrailEventKind =
  | 'admitted'
  | 'refused'
  | 'ordered'
  | 'issued'
  | 'failed'
  | 'handed-out'
  | 'renewed'
  | 'revoked'
  | 'operator';

/** No secret is ever part of one. */
export type TrailEvent = {
  /** Milliseconds since the epoch, by the clock of who writes it. */
  at: number;
  event: TrailEventKind;
  names?: readonly string[] | undefined;
  block?: string | undefined;
  /** How the client, or the operator, was known. */
  by?: string | undefined;
  /** Its address. */
  client?: string | undefined;
  account?: string | undefined;
  /** Of the certificate, in hex. */
  serial?: string | undefined;
  /** SHA-256 of the certificate's DER, in hex. */
  fingerprint?: string | undefined;
  /** Ids of the HTTP request and of the job. */
  request?: string | undefined;
  job?: string | undefined;
  /** How many it stands for, where they are merged. */
  count?: number | undefined;
  /** What else there is to say, in one line. */
  detail?: string | undefined;
};
