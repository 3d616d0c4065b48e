/**
 * ACME (RFC 8555) and its renewal information (RFC 9773), as `import … from 'quarry/acme'`: `openAccount` and
 * `obtain` go from a key and names to a certificate, an account's orders go step by step, and below them each
 * call is one request. `library.md` shows all three.
 *
 * Times are milliseconds since the epoch, keys are PEM without a password. Every failure is an
 * `IssuanceError`, whose `code` says how to react, and which carries the CA's problem document and the time
 * to try again; or it is the signal's reason.
 */

export {
  createAccount,
  deactivateAccount,
  findAccount,
  type NewAccount,
  readTermsOfService,
  rolloverKey,
  updateContact,
} from '../acme/account.ts';
export { type AcmeAccount, type AcmeClient, openAcmeClient } from '../acme/client.ts';
export { type CaConnection, openCaConnection } from '../acme/connection.ts';
export type { AcmeAuthorization, AcmeChallenge, AcmeOrder } from '../acme/objects.ts';
export { fetchRenewalInfo, type RenewalInfo, renewalInfoId } from '../acme/renewal-info.ts';
export { type AcmeResource, fetchResource, listOrders } from '../acme/resource.ts';
export { revokeCertificate } from '../acme/revoke.ts';
export {
  IssuanceError,
  type IssuanceErrorCode,
  type IssuanceErrorOptions,
  type Problem,
} from '../base/errors.ts';
export type { ChallengeType, Identifier } from '../base/identifier.ts';
export { makeCsr } from '../pki/make-csr.ts';
export { generateKeyPem, readPrivateKey } from '../pki/private-key.ts';
export type { RevocationReason } from '../pki/revocation.ts';
export type { ChallengeResponse, Solver } from '../solver/solver.ts';
export { type Account, type AccountOptions, openAccount } from './account.ts';
export { obtain, type Wanted } from './obtain.ts';
export type { Order, OrderOptions } from './order.ts';
