import { IssuanceError } from '../base/errors.ts';
import { type AcmeAccount, openSigner } from './client.ts';
import type { CaConnection } from './connection.ts';
import { readLinks } from './links.ts';
import { type HttpAnswer, object, resolveUrl } from './objects.ts';

const MOST_PAGES = 1_000;

/** An object of RFC 8555 section 7.1 as the CA sends it, at its URL. Nothing in it is checked. */
export type AcmeResource = { url: string; object: Record<string, unknown> };

/**
 * What stands at a URL of the CA: an account, order, authorization or challenge (POST-as-GET, RFC 8555
 * section 6.3).
 *
 * @throws IssuanceError `gone` where there is no such thing, else as the CA says
 */
export async function fetchResource(
  connection: CaConnection,
  account: AcmeAccount,
  url: string,
  signal: AbortSignal,
): Promise<AcmeResource> {
  return toResource(await openSigner(connection, account, signal).post(url));
}

/**
 * The URLs of an account's orders, those that the CA still lists (RFC 8555 section 7.1.2.1). Not every CA has
 * a list.
 *
 * @returns `url`: of the list's first page
 * @throws IssuanceError `unexpected` where the CA names no list
 */
export async function listOrders(
  connection: CaConnection,
  account: AcmeAccount,
  signal: AbortSignal,
): Promise<{ url: string; orders: string[] }> {
  const signer = openSigner(connection, account, signal);
  const named = await signer.post(account.url);
  const { orders } = toResource(named).object;
  if (typeof orders !== 'string') throw new IssuanceError('unexpected', 'the CA names no list of orders');
  const list = resolveUrl(orders, named);
  const [found, seen] = [new Set<string>(), new Set<string>()];
  for (let page: string | undefined = list; page && !seen.has(page) && seen.size < MOST_PAGES; ) {
    seen.add(page);
    const answer: HttpAnswer = await signer.post(page);
    const { orders: some } = toResource(answer).object;
    if (!Array.isArray(some)) throw new IssuanceError('unexpected', "the CA's answer lacks a list of orders");
    for (const url of some) if (typeof url === 'string') found.add(resolveUrl(url, answer));
    page = readLinks(answer.headers.link, 'next', page)[0];
  }
  return { url: list, orders: [...found] };
}

const toResource = (answer: HttpAnswer): AcmeResource => ({
  url: answer.url,
  object: object(answer, 'an object'),
});
