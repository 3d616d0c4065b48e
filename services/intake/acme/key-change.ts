import type { Context } from 'koa';
import { type Accounts, refuseDeactivated } from '../../../shared/acme-server/accounts.ts';
import {
  openVerifier,
  type PublicJwk,
  parseJwk,
  thumbprintOf,
  toJws,
} from '../../../shared/acme-server/jws.ts';
import { AcmeError, malformed } from '../../../shared/acme-server/problem.ts';
import { parseJsonObject } from '../../../shared/acme-server/strict-json.ts';
import type { Urls } from '../../../shared/acme-server/urls.ts';
import type { Clock } from '../../../shared/base/basics.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { answerAccount, toAccountEvent } from './account.ts';
import type { ByAccount, Payload } from './signed.ts';

/** keyChange (RFC 8555 section 7.3.5): the account's key signs what the new key has signed. */
export function keyChangeRoute({ accounts, urls, clock }: { accounts: Accounts; urls: Urls; clock: Clock }) {
  return async (ctx: Context, { account: { id }, payload }: ByAccount): Promise<void> => {
    const kept = await accounts.read(id);
    if (!kept) throw new AcmeError('accountDoesNotExist', 'there is no such account');
    const { account } = kept;
    refuseDeactivated(account);
    const { key, oldKey } = await readKeyChange(payload, {
      keyChange: urls.keyChange,
      account: urls.account(id),
    });
    if ((await thumbprintOf(oldKey)) !== account.thumbprint)
      malformed('oldKey is not the key of the account');
    const after = { ...account, key, thumbprint: await thumbprintOf(key) };
    const told = toAccountEvent(ctx, clock, 'account-changed', account, `key changed to ${after.thumbprint}`);
    const changed = await accounts.changeKey(kept, after, told);
    if (changed === 'late')
      throw new IssuanceError('unavailable', 'the account was changed meanwhile: try again');
    if (changed !== 'changed') refuseTaken(urls.account(changed.takenBy));
    answerAccount(ctx, after, urls);
  };
}

/**
 * @returns the new key, which has signed it, and the one that is named as the old one
 * @throws AcmeError `malformed` or `badPublicKey`
 */
async function readKeyChange(
  payload: Payload,
  urls: { keyChange: string; account: string },
): Promise<{ key: PublicJwk; oldKey: PublicJwk }> {
  const what = 'the inner JWS';
  const jws = toJws(payload, what);
  const { jwk, url, nonce } = jws.header;
  if (!jwk) return malformed(`${what} needs the new key as jwk`);
  if (nonce !== undefined) malformed(`${what} has a nonce, which it must not have`);
  if (url !== urls.keyChange) malformed(`the url of ${what} is not that of keyChange: ${urls.keyChange}`);
  const verify = await openVerifier(jwk);
  if (!(await verify(jws))) malformed(`${what} is not signed by the new key`);
  const { account, oldKey } = parseJsonObject(jws.payload, `the payload of ${what}`);
  if (account !== urls.account) malformed(`${what} is for another account`);
  return { key: jwk, oldKey: parseJwk(oldKey) };
}

/** The 409 names the account that has the key. */
function refuseTaken(location: string): never {
  throw new AcmeError('malformed', 'another account has the new key', {
    status: 409,
    headers: { Location: location },
  });
}
