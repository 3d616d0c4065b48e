import type { Context } from 'koa';
import { parseBinding, type SealedBinding } from '../../../shared/acme-server/account-binding.ts';
import {
  type Account,
  type Accounts,
  type Kept,
  newAccountId,
  refuseDeactivated,
} from '../../../shared/acme-server/accounts.ts';
import type { AcmeConfig } from '../../../shared/acme-server/acme-section.ts';
import { parseContacts } from '../../../shared/acme-server/contacts.ts';
import { openNewAccountRate } from '../../../shared/acme-server/new-account-rate.ts';
import { AcmeError } from '../../../shared/acme-server/problem.ts';
import type { Urls } from '../../../shared/acme-server/urls.ts';
import type { Admission, AdmittingBlock } from '../../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import { describeUnbound } from '../../../shared/admission/refusal.ts';
import { dropUsed } from '../../../shared/admission/token-method.ts';
import type { Clock } from '../../../shared/base/basics.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import type { Store } from '../../../shared/base/redis.ts';
import type { Clients } from '../routes/sign.ts';
import { answerAccount, toAccountEvent } from './account.ts';
import { toAcmeRequest } from './admit-account.ts';
import type { ByKey, Payload } from './signed.ts';

type Parts = {
  acme: AcmeConfig;
  auth: readonly Pick<AuthBlockConfig, 'hmac' | 'token'>[];
  urls: Urls;
  accounts: Accounts;
  /** What does not count requests: new accounts have a rate of their own. */
  admission: Admission;
  clients: Clients;
  store: Store;
  clock: Clock;
};

/** What a newAccount request wants. */
type Wanted = {
  onlyReturnExisting: boolean;
  termsAgreed: boolean;
  contacts: string[];
  binding: SealedBinding | undefined;
};

/** newAccount (RFC 8555 section 7.3): only who some auth block could admit today gets an account. */
export function newAccountRoute(parts: Parts) {
  const { acme, auth, urls, accounts, admission, clients, clock } = parts;
  const takesKeys = auth.some(({ hmac, token }) => hmac !== undefined || token === true);
  const countNew = openNewAccountRate(parts.store, acme.newAccounts, clock);

  /** The blocks that admit the client as it is now; with a binding, those that it makes admit it. */
  async function admitClient(ctx: Context, binding: SealedBinding | undefined): Promise<AdmittingBlock[]> {
    const request = toAcmeRequest(ctx, clients, { binding });
    try {
      const blocks = await admission.verified(admission.possible(request), request, undefined);
      if (!binding) return blocks;
      const bound = blocks.filter(block => block.bound);
      if (bound.length > 0) return dropUsed(bound, { digest: '' });
      throw new IssuanceError('denied', describeUnbound(request));
    } catch (error) {
      if (!(error instanceof IssuanceError && error.code === 'denied')) throw error;
      if (binding) await countNew(request.clientIp);
      const kind = takesKeys && !binding ? 'externalAccountRequired' : 'unauthorized';
      throw new AcmeError(kind, error.message, { cause: error });
    }
  }

  async function make(
    ctx: Context,
    { key, thumbprint, spend }: ByKey,
    wanted: Wanted,
  ): Promise<Account | undefined> {
    const { contacts, binding } = wanted;
    if (acme.termsOfService !== undefined && !wanted.termsAgreed) refuseTerms(acme.termsOfService);
    const blocks = await admitClient(ctx, binding);
    ctx.state.blocks = blocks;
    await countNew(ctx.state.client, binding?.kid);
    await spend();
    const account: Account = {
      ...{ id: newAccountId(), key, thumbprint, status: 'valid', contacts },
      ...(wanted.termsAgreed && { termsAgreed: true }),
      ...{ created: clock.now(), client: ctx.state.client },
      ...(binding && { binding }),
    };
    const told = toAccountEvent(ctx, clock, 'account-made', account, describeMade(account));
    return (await accounts.create(account, told)) ? account : undefined;
  }

  /** An account may be bound anew, by what is good today. */
  async function bindAnew(
    ctx: Context,
    { spend }: ByKey,
    { before, binding }: { before: Kept; binding: SealedBinding },
  ): Promise<Account | undefined> {
    ctx.state.blocks = await admitClient(ctx, binding);
    await countNew(ctx.state.client, binding.kid);
    await spend();
    const after = { ...before.account, binding };
    const told = toAccountEvent(ctx, clock, 'account-changed', after, `bound anew to ${binding.kid}`);
    return (await accounts.replace(before, after, told)) ? after : undefined;
  }

  /** @returns `undefined` where another request was faster */
  async function findOrMake(ctx: Context, by: ByKey, wanted: Wanted): Promise<Account | undefined> {
    const kept = await accounts.findByKey(by.thumbprint);
    if (!kept && wanted.onlyReturnExisting)
      throw new AcmeError('accountDoesNotExist', 'there is no account with this key');
    if (!kept) {
      const made = await make(ctx, by, wanted);
      if (made) ctx.status = 201;
      return made;
    }
    refuseDeactivated(kept.account);
    accounts.noteSeen(kept.account);
    const { binding, onlyReturnExisting } = wanted;
    const isOther = binding && binding.jws.signature !== kept.account.binding?.jws.signature;
    if (isOther && !onlyReturnExisting) return bindAnew(ctx, by, { before: kept, binding });
    await by.spend();
    return kept.account;
  }

  return async (ctx: Context, by: ByKey): Promise<void> => {
    const wanted = await parseWanted(by.payload, { thumbprint: by.thumbprint, url: urls.newAccount });
    ctx.status = 200;
    const account = (await findOrMake(ctx, by, wanted)) ?? (await findOrMake(ctx, by, wanted));
    if (!account) throw new IssuanceError('unavailable', 'the account was changed meanwhile: try again');
    ctx.state.clientAccount = account.id;
    ctx.set('Location', urls.account(account.id));
    answerAccount(ctx, account, urls);
  };
}

async function parseWanted(payload: Payload, where: { thumbprint: string; url: string }): Promise<Wanted> {
  if (!payload) throw new AcmeError('malformed', 'newAccount needs a payload: at least {}');
  const { contact, termsOfServiceAgreed, onlyReturnExisting, externalAccountBinding } = payload;
  return {
    onlyReturnExisting: isAgreed(onlyReturnExisting, 'onlyReturnExisting'),
    termsAgreed: isAgreed(termsOfServiceAgreed, 'termsOfServiceAgreed'),
    contacts: parseContacts(contact) ?? [],
    binding: externalAccountBinding == null ? undefined : await parseBinding(externalAccountBinding, where),
  };
}

function isAgreed(value: unknown, name: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === 'boolean') return value;
  throw new AcmeError('malformed', `${name} is neither true nor false`);
}

/** As RFC 8555 section 7.3.3 has it. */
function refuseTerms(url: string): never {
  throw new AcmeError('userActionRequired', `the terms of service are not agreed to: ${url}`, {
    instance: url,
    headers: { Link: `<${url}>;rel="terms-of-service"` },
  });
}

const describeMade = ({ binding }: Account) => (binding ? `bound to ${binding.kid}` : 'bound to nothing');
