import type { RenewalInfo } from '../acme/renewal-info.ts';
import { isFlag, isNumber, isText, listOf, optional, shapeOf } from '../base/redis.ts';
import type { IssuedBy } from '../storage/storage.ts';
import type { RenewalPlan } from './renewal-window.ts';

/** A certificate that Quarry renews by itself, or watches only. Times in milliseconds since the epoch. */
export type ManagedCertificate = {
  /** `stored/<storage>/<digest of its CSR>` or `profile/<name of the renewal section>/<domain>`. */
  id: string;
  /** Of a stored one: the key of its entry, which of macen's entries is not that of the id. */
  place?: string | undefined;
  /**
   * Whether Quarry renews it by itself. Of others it is only found out whether the CA wants them renewed
   * sooner than clients would have them renewed by their posts.
   */
  renews: boolean;
  /** Differs between this certificate and its successor: its `renewalInfoId`, or else its end. */
  certificate: string;
  /** Absent where it is not recorded, as of macen's entries. */
  issuedBy?: IssuedBy | undefined;
  /** The accounts that were asked before, and why they did not issue. */
  refused?: readonly { account: string; reason: string }[] | undefined;
  names: string[];
  notBefore: number;
  notAfter: number;
  /** What the CA suggests, or in a few words why nothing is known of it. */
  info: Pick<RenewalInfo, 'start' | 'end' | 'explanationUrl'> | { none: string };
  /** Whether `certificate` is a `renewalInfoId`, by which the CA knows it. */
  named: boolean;
  /** When to ask the CA for renewal information; absent where it is not asked. */
  poll?: number | undefined;
  /** Failed questions in a row. */
  pollFailures: number;
  plan: RenewalPlan;
  /** Failed attempts to renew it. */
  failures?: { count: number; last: number; retryAfter?: number | undefined; reason: string } | undefined;
  /** The sign job that renews it now. */
  job?: { id: string; since: number } | undefined;
  /** Whether it was made by renewing ahead, without a client that asked for it. */
  ahead: boolean;
  /** Whether the scheduler has seen it yet. */
  looked: boolean;
  /** Whether it is not renewed, as no client fetched it. */
  left?: boolean;
  /** Whether its host has got a newer one by another key: then nothing is done for it. */
  superseded?: boolean;
  /**
   * Whether an operator wants it renewed now; it is tried once, and the operator's command waits for the
   * result.
   */
  forced?: boolean;
  /** When an operator wants it renewed, among others; tried until it is. */
  reissue?: number | undefined;
};

/** The last time that a client got the certificate, and by which auth block. */
export type LastFetch = { at: number; block: string };

/** Whether Quarry renews a certificate by itself, as things are. */
export const isRenewed = ({ renews, superseded, reissue }: ManagedCertificate) =>
  (renews || reissue !== undefined) && !superseded;

/** Whether it is what `askWindow` learns of a window. */
export const isInfo = (value: unknown) => isKnown(value) || isUnknown(value);
const isKnown = shapeOf({ start: isNumber, end: isNumber, explanationUrl: optional(isText) });
const isUnknown = shapeOf({ none: isText });
const isRefusal = shapeOf({ account: isText, reason: isText });

/** Whether a value is one that this version, or an earlier one, has written. */
export const isManaged = shapeOf<ManagedCertificate>({
  ...{ id: isText, place: optional(isText), renews: optional(isFlag), certificate: isText },
  issuedBy: optional(shapeOf<IssuedBy>({ account: isText, directory: isText })),
  ...{ refused: optional(listOf(isRefusal)), names: listOf(isText), notBefore: isNumber, notAfter: isNumber },
  ...{ info: isInfo, named: isFlag, poll: optional(isNumber), pollFailures: isNumber },
  plan: shapeOf<RenewalPlan>({ at: isNumber, first: isNumber, why: isText }),
  failures: optional(
    shapeOf({ count: isNumber, last: isNumber, retryAfter: optional(isNumber), reason: isText }),
  ),
  job: optional(shapeOf({ id: isText, since: isNumber })),
  ...{ ahead: optional(isFlag), looked: optional(isFlag), left: optional(isFlag) },
  ...{ superseded: optional(isFlag), forced: optional(isFlag), reissue: optional(isNumber) },
});
