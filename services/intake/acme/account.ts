import type { RouterContext } from '@koa/router';
import type { Context } from 'koa';
import {
  type Account,
  type Accounts,
  type Kept,
  refuseDeactivated,
} from '../../../shared/acme-server/accounts.ts';
import { parseContacts } from '../../../shared/acme-server/contacts.ts';
import type { Orders } from '../../../shared/acme-server/orders.ts';
import { AcmeError } from '../../../shared/acme-server/problem.ts';
import type { Urls } from '../../../shared/acme-server/urls.ts';
import type { Clock } from '../../../shared/base/basics.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { needingRedis } from '../../../shared/base/redis.ts';
import type { TrailEvent } from '../../../shared/trail/event.ts';
import { toAsker } from '../refusals.ts';
import type { ByAccount, Payload } from './signed.ts';

/** As RFC 8555 section 7.1.2 has it. */
export function answerAccount(ctx: Context, account: Account, urls: Urls): void {
  const { id, status, contacts, termsAgreed, binding } = account;
  ctx.type = 'application/json';
  ctx.body = JSON.stringify({
    status,
    contact: contacts,
    ...(termsAgreed && { termsOfServiceAgreed: true }),
    ...(binding && { externalAccountBinding: binding.jws }),
    orders: urls.orders(id),
  });
}

/** An account's URL is for that account alone. */
function refuseForeign(account: Account, id: string | undefined): void {
  if (account.id !== id) throw new AcmeError('unauthorized', 'this is the URL of another account');
}

export function toAccountEvent(
  { state }: Context,
  clock: Clock,
  event: 'account-made' | 'account-changed',
  { id, binding }: Account,
  what: string,
): TrailEvent {
  const { client, requestId: request, blocks = [] } = state;
  const asker = binding ? toAsker(blocks) : {};
  return { at: clock.now(), event, ...asker, client, request, detail: `client account ${id}: ${what}` };
}

/** An account's URL reads it, changes its contacts, or deactivates it (RFC 8555 sections 7.3.2, 7.3.6). */
export function accountRoute({ accounts, urls, clock }: { accounts: Accounts; urls: Urls; clock: Clock }) {
  return async (ctx: RouterContext, by: ByAccount): Promise<void> => {
    refuseForeign(by.account, ctx.params.id);
    const change = parseChange(by.payload);
    const after = change
      ? await changeAccount(accounts, by.account.id, ({ account }) => ({
          after: { ...account, ...change },
          ...(change.status && {
            told: toAccountEvent(ctx, clock, 'account-changed', account, 'deactivated'),
          }),
        }))
      : by.account;
    answerAccount(ctx, after, urls);
  };
}

/** What of an account is to change; `undefined` where nothing is. What is not known here is passed over. */
function parseChange(payload: Payload): Partial<Pick<Account, 'contacts' | 'status'>> | undefined {
  if (!payload) return undefined;
  if (payload.status === 'deactivated') return { status: 'deactivated' };
  const contacts = parseContacts(payload.contact);
  return contacts && { contacts };
}

/** The list of an account's orders, a page of it (RFC 8555 section 7.1.2.1). */
export function ordersRoute({ orders, urls }: { orders: Pick<Orders, 'list'>; urls: Urls }) {
  return async (ctx: RouterContext, { account, payload }: ByAccount): Promise<void> => {
    refuseForeign(account, ctx.params.id);
    if (payload) throw new AcmeError('malformed', 'the list of orders is read by POST-as-GET');
    const cursor = readCursor(ctx.query.cursor);
    const { ids, next } = await needingRedis(() => orders.list(account.id, cursor));
    if (next !== undefined) ctx.append('Link', `<${urls.orders(account.id, `${next}`)}>;rel="next"`);
    ctx.type = 'application/json';
    ctx.body = JSON.stringify({ orders: ids.map(urls.order) });
  };
}

function readCursor(text: string | string[] | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (typeof text === 'string' && /^\d{1,15}$/.test(text)) return Number(text);
  throw new AcmeError('malformed', 'this is no page of a list');
}

const MOST_TRIES = 5;

/** Changes an account as it is now, however often others change it meanwhile. */
async function changeAccount(
  accounts: Pick<Accounts, 'read' | 'replace'>,
  id: string,
  change: (kept: Kept) => { after: Account; told?: TrailEvent },
): Promise<Account> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const kept = await accounts.read(id);
    if (!kept) throw new AcmeError('accountDoesNotExist', 'there is no such account');
    refuseDeactivated(kept.account);
    const { after, told } = change(kept);
    if (await accounts.replace(kept, after, told)) return after;
  }
  throw new IssuanceError('unavailable', 'the account was changed meanwhile: try again');
}
