import { type ProxiedRequest, toPath } from './request.ts';
import type { RuleOptions } from './rules.ts';
import { type Answer, parseObject } from './upstream.ts';

type Order = {
  key: string;
  path: string;
  url: string;
  replaces?: string | undefined;
  body: Record<string, unknown>;
};

/**
 * Let's Encrypt's order reuse: newOrder for the account, identifiers and certificate profile of an order that
 * is still pending or ready answers with that order. One that `replaces` what an order in progress already
 * does gets 409 `alreadyReplaced`.
 *
 * Pebble makes its new order all the same, which verifies the request and takes its nonce; nobody hears of
 * that order. The proxy knows the state of an order from the answers that pass through it: a failure that no
 * client has been told yet, it does not know.
 */
export function orderReuseRule(): RuleOptions {
  const orders = new Map<string, Order>();

  const ask = (request: ProxiedRequest, answer: Readonly<Answer>): Partial<Answer> | undefined => {
    if (answer.status !== 201) return undefined;
    const open = [...orders.values()];
    if (request.replaces && open.some(({ replaces }) => replaces === request.replaces))
      return alreadyReplaced(answer);
    const key = toKey(request);
    const same = open.find(order => order.key === key && /^(pending|ready)$/.test(`${order.body.status}`));
    if (same) return { headers: { ...answer.headers, location: same.url }, body: JSON.stringify(same.body) };
    const url = `${answer.headers.location}`;
    const path = toPath(url) ?? '';
    orders.set(path, { key, path, url, replaces: request.replaces, body: parseObject(answer.body) ?? {} });
    return undefined;
  };

  const learn = (request: ProxiedRequest, answer: Readonly<Answer>) => {
    const body = answer.status < 300 ? parseObject(answer.body) : undefined;
    const lost =
      answer.status === 404 || /^(valid|invalid|deactivated|expired|revoked)$/.test(`${body?.status}`);
    for (const order of orders.values()) {
      if (!urlsOf(order, request.kind).includes(request.path)) continue;
      if (lost && !(request.kind === 'authorization' && body?.status === 'valid')) orders.delete(order.path);
      else if (body && request.kind !== 'authorization') order.body = body;
    }
  };

  return {
    kind: ['newOrder', 'order', 'finalize', 'authorization'],
    do: {
      rewrite(answer, request) {
        if (request.kind === 'newOrder') return ask(request, answer);
        learn(request, answer);
        return undefined;
      },
    },
  };
}

const toKey = ({ account, identifiers = [], profile = '' }: ProxiedRequest) =>
  JSON.stringify([
    account,
    profile,
    identifiers.map(({ type, value }) => `${type}:${value.toLowerCase()}`).toSorted(),
  ]);

/** The paths by which requests of that kind mean this order. */
function urlsOf({ path, body }: Order, kind: string): (string | undefined)[] {
  if (kind === 'order') return [path];
  return (kind === 'finalize' ? [body.finalize] : (body.authorizations as unknown[])).map(toPath);
}

function alreadyReplaced({ headers }: Readonly<Answer>): Partial<Answer> {
  const detail = `Could not validate ARI 'replaces' field :: cannot indicate an order replaces certificate with serial "00", which already has a replacement order`;
  const problem = { type: 'urn:ietf:params:acme:error:alreadyReplaced', detail, status: 409 };
  const { location, ...others } = headers;
  return {
    status: 409,
    headers: { ...others, 'content-type': 'application/problem+json' },
    body: JSON.stringify(problem),
  };
}
