import type { AuthBlockConfig } from './auth-section.ts';
import { clientCertificateMethod, type IsRevoked } from './client-certificate.ts';
import { forProvers } from './client-proof.ts';
import { hmacMethod } from './hmac.ts';
import type { TakeOnce } from './hmac2.ts';
import { type AdmissionMethod, allMethod, clientIpMethod } from './methods.ts';
import { type JudgeToken, tokenMethod } from './token-method.ts';

/** What only Redis can say of a request. */
export type Lookups = { takeOnce: TakeOnce; judgeToken: JudgeToken; isRevoked: IsRevoked };

type Config = Pick<AuthBlockConfig, 'name' | 'ips' | 'hmac' | 'token' | 'all' | 'ownNames' | 'clientProof'>;

/** How an `[auth]` block recognises its clients. @param clientGlobs of `client-cert` */
export function openMethods(
  { name, ips, hmac, token, all, ownNames = [], clientProof }: Config,
  clientGlobs: readonly ((name: string) => boolean)[],
  { takeOnce, judgeToken, isRevoked }: Lookups,
): AdmissionMethod[] {
  const methods = [
    ...(ips.length > 0 ? [clientIpMethod(ips)] : []),
    ...(hmac ? [hmacMethod(name, hmac, takeOnce)] : []),
    ...(clientGlobs.length > 0 ? [clientCertificateMethod(clientGlobs, ownNames, isRevoked)] : []),
    ...(token ? [tokenMethod(name, judgeToken)] : []),
    ...(all ? [allMethod] : []),
  ];
  return clientProof ? forProvers(methods) : methods;
}
