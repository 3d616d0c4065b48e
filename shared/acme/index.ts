/**
 * ACME (RFC 8555) and its renewal information (RFC 9773), as `import … from 'quarry/acme'`. Everything that Quarry itself
 * orders with, and nothing that decides for you: each call is one step, or one request.
 *
 *     const connection = openCaConnection({ directoryUrl, userAgent: 'my-tool/1.0' });
 *     const keyPem = await generateKeyPem('P-256'); // to be kept: it is the account
 *     const { url } = await createAccount(connection, keyPem, { termsOfServiceAgreed: true }, signal);
 *     const acme = openAcmeClient(connection, { keyPem, url }, signal);
 *     let order = await acme.newOrder([{ type: 'dns', value: 'www.example.org' }]);
 *     for (const one of order.authorizations) {
 *       const { challenges } = await acme.getAuthorization(one);
 *       const challenge = challenges.find(({ type }) => type === 'http-01');
 *       await serve(challenge.token, acme.keyAuthorization(challenge.token)); // yours
 *       await acme.initiateChallenge(challenge.url);
 *     }
 *     // poll acme.getOrder(order.url), not before its retryAfter, until its status is `ready`, then:
 *     order = await acme.finalize(order, await makeCsr(certificateKey, [{ type: 'dns', value: 'www.example.org' }]));
 *     // poll again until it is `valid`, then:
 *     const chain = await acme.downloadChain(order.certificate);
 *
 * Times are milliseconds since the epoch, keys are PEM without a password. Nothing is retried but a `badNonce`, and
 * nothing sleeps. Every failure is an `IssuanceError`, whose `code` says how to react, and which carries the CA's problem
 * document and the time to try again; or it is the signal's reason.
 */

export {
  IssuanceError,
  type IssuanceErrorCode,
  type IssuanceErrorOptions,
  type Problem,
} from '../base/basics.ts';
export type { Identifier } from '../base/identifier.ts';
export { generateKeyPem, readPrivateKey } from '../pki/key.ts';
export { makeCsr } from '../pki/make-csr.ts';
export type { RevocationReason } from '../pki/revocation.ts';
export {
  createAccount,
  deactivateAccount,
  findAccount,
  type NewAccount,
  readTermsOfService,
  rolloverKey,
  updateContact,
} from './account.ts';
export { type AcmeAccount, type AcmeClient, openAcmeClient } from './client.ts';
export { type CaConnection, openCaConnection } from './connection.ts';
export type { AcmeAuthorization, AcmeChallenge, AcmeOrder } from './objects.ts';
export { fetchRenewalInfo, type RenewalInfo, renewalInfoId } from './renewal-info.ts';
export { type AcmeResource, fetchResource, listOrders } from './resource.ts';
export { revokeCertificate } from './revoke.ts';
