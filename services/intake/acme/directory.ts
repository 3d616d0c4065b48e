import type { Context } from 'koa';
import type { AcmeConfig } from '../../../shared/acme-server/acme-section.ts';
import type { Urls } from '../../../shared/acme-server/urls.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';

/** RFC 8555 section 7.1.1, with RFC 9773 and draft-ietf-acme-profiles. */
export function directoryRoute(parts: {
  acme: AcmeConfig;
  urls: Urls;
  auth: readonly Pick<AuthBlockConfig, 'hmac' | 'token'>[];
}) {
  const directory = JSON.stringify(toDirectory(parts));
  return (ctx: Context): void => {
    ctx.type = 'application/json';
    ctx.body = directory;
  };
}

function toDirectory({ acme, urls, auth }: Parameters<typeof directoryRoute>[0]) {
  const { newNonce, newAccount, newOrder, revokeCert, keyChange, renewalInfo } = urls;
  const { termsOfService, website, caaIdentities, profiles } = acme;
  const meta = {
    ...(termsOfService !== undefined && { termsOfService }),
    ...(website !== undefined && { website }),
    ...(caaIdentities.length > 0 && { caaIdentities }),
    ...(Object.keys(profiles).length > 0 && { profiles }),
    // A client without a key would get nothing, so it is told before it makes an account.
    externalAccountRequired: auth.every(({ hmac, token }) => hmac !== undefined || token === true),
  };
  return { newNonce, newAccount, newOrder, revokeCert, keyChange, renewalInfo, meta };
}
