import type { RouterContext } from '@koa/router';
import type { Context } from 'koa';
import { LRUCache } from 'lru-cache';
import { type Account, type Accounts, refuseDeactivated } from '../../../shared/acme-server/accounts.ts';
import {
  type Jws,
  openVerifier,
  type PublicJwk,
  parseRequest,
  thumbprintOf,
  type Verifier,
} from '../../../shared/acme-server/jws.ts';
import type { Nonces } from '../../../shared/acme-server/nonces.ts';
import { AcmeError } from '../../../shared/acme-server/problem.ts';
import { parseJsonObject } from '../../../shared/acme-server/strict-json.ts';
import type { Urls } from '../../../shared/acme-server/urls.ts';
import { needingRedis, type Store } from '../../../shared/base/redis.ts';
import { readRequest } from './read-request.ts';

// How a signed request comes to its handler (RFC 8555 section 6.2): what is cheap to see is refused first,
// then the account's key is asked for, and only a request of an account with a good signature spends its
// nonce here; that of a request by a key is its handler's to spend.

/** `undefined` is POST-as-GET; `{}` where the client sent that. */
export type Payload = Record<string, unknown> | undefined;

/** `text`: the record that the route wanted read in the same trip; `undefined` where it is not there. */
export type ByAccount = { account: Account; payload: Payload; text: string | undefined };
export type ByKey = {
  key: PublicJwk;
  thumbprint: string;
  payload: Payload;
  /**
   * Takes the nonce, once. Anybody can make a key, and so fill Redis with nonces: a handler calls it before
   * it changes anything, and not before it knows that it is going to.
   *
   * @throws AcmeError `badNonce` for one that came before
   */
  spend(): Promise<void>;
};

export type Handler<By> = (ctx: RouterContext, by: By) => Promise<void>;
/** The key in Redis of what a route needs besides the account. */
export type RecordKey = (params: Record<string, string>) => string;

/** Bytes. */
const LARGEST = 64 * 1024;
/** Accounts whose keys are ready to verify. */
const MOST_REMEMBERED = 10_000;

type Known = { sealed: string; account: Account; verify: Verifier };
type Request = ReturnType<typeof parseRequest>;

export function openSigned(parts: { urls: Urls; nonces: Nonces; accounts: Accounts; store: Store }) {
  const { urls, nonces, accounts, store } = parts;
  const remembered = new LRUCache<string, Known>({ max: MOST_REMEMBERED });

  async function receive(ctx: Context): Promise<Request> {
    if (!/^application\/jose\+json\s*(;|$)/i.test(ctx.get('Content-Type')))
      ctx.throw(415, 'the Content-Type of a request is application/jose+json');
    const request = parseRequest(await readRequest(ctx, LARGEST));
    refuseOtherUrl(request.header.url, urls.signed(ctx.path + ctx.search));
    nonces.check(request.header.nonce);
    return request;
  }

  /** What an account's record says, with its key ready. */
  async function toKnown(id: string, sealed: string | null | undefined): Promise<Known> {
    const account = sealed == null ? undefined : accounts.parse(id, sealed);
    if (sealed == null || account === undefined) {
      remembered.delete(id);
      throw new AcmeError('accountDoesNotExist', 'there is no such account');
    }
    const known = { sealed, account, verify: await openVerifier(account.key) };
    remembered.set(id, known);
    return known;
  }

  const read = async (id: string) => toKnown(id, await needingRedis(() => store.redis.get(accounts.key(id))));

  /** The key that this process remembers may have been changed at another intake. */
  async function findSigner(id: string, request: Request): Promise<Known> {
    const last = remembered.get(id);
    if (last && (await last.verify(request))) return last;
    const known = await read(id);
    const isGood = known.sealed !== last?.sealed && (await known.verify(request));
    return isGood ? known : refuseSignature();
  }

  async function authenticate(
    ctx: RouterContext,
    request: Request,
    recordKey?: RecordKey,
  ): Promise<ByAccount> {
    const { kid = '', nonce } = request.header;
    const id = urls.accountIdOf(kid);
    if (id === undefined)
      throw new AcmeError('malformed', `the kid is not the URL of an account of ${urls.directory}`);
    const signer = await findSigner(id, request);
    ctx.state.clientAccount = id;
    const keys = [accounts.key(id), ...(recordKey ? [recordKey(ctx.params)] : [])];
    const [sealed, text] = await nonces.spend(nonce, keys);
    const { account } = sealed === signer.sealed ? signer : await toKnown(id, sealed);
    if (account.thumbprint !== signer.account.thumbprint) refuseSignature();
    refuseDeactivated(account);
    accounts.noteSeen(account);
    return { account, payload: toPayload(request), text: text ?? undefined };
  }

  async function identify(request: Request & { header: { jwk: PublicJwk } }): Promise<ByKey> {
    const { jwk: key, nonce } = request.header;
    const verify = await openVerifier(key);
    if (!(await verify(request))) refuseSignature();
    let spent: Promise<unknown> | undefined;
    const spend = async () => {
      spent ??= nonces.spend(nonce, []);
      await spent;
    };
    return { key, thumbprint: await thumbprintOf(key), payload: toPayload(request), spend };
  }

  const byEither =
    (handler: Handler<ByAccount | ByKey>) =>
    async (ctx: RouterContext): Promise<void> => {
      const request = await receive(ctx);
      await handler(ctx, isByKey(request) ? await identify(request) : await authenticate(ctx, request));
    };
  return {
    /** The request is of a valid account. */
    byAccount:
      (handler: Handler<ByAccount>, recordKey?: RecordKey) =>
      async (ctx: RouterContext): Promise<void> => {
        const request = await receive(ctx);
        if (isByKey(request)) throw new AcmeError('malformed', 'a kid is needed here, and no jwk');
        await handler(ctx, await authenticate(ctx, request, recordKey));
      },
    /** The request brings its key. */
    byKey:
      (handler: Handler<ByKey>) =>
      async (ctx: RouterContext): Promise<void> => {
        const request = await receive(ctx);
        if (!isByKey(request)) throw new AcmeError('malformed', 'a jwk is needed here, and no kid');
        await handler(ctx, await identify(request));
      },
    byEither,
  };
}

const isByKey = (request: Request): request is Request & { header: { jwk: PublicJwk } } =>
  request.header.jwk !== undefined;

/** RFC 8555 section 6.4. Where a proxy changes host or path, people stumble over this. */
function refuseOtherUrl(signed: string, own: string): void {
  if (signed === own) return;
  const [said, here] = [signed, own].map(url => JSON.stringify(url.slice(0, 300)));
  throw new AcmeError('unauthorized', `the request is signed for ${said}, and came for ${here}`);
}

function refuseSignature(): never {
  throw new AcmeError('malformed', 'the signature does not match the key');
}

/** RFC 8555 section 6.3: an empty payload, which is no JSON, is POST-as-GET. */
const toPayload = ({ payload }: Jws): Payload =>
  payload.length === 0 ? undefined : parseJsonObject(payload, 'the payload');
