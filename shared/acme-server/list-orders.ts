import { type Redis, runScript, toScript } from '../base/redis.ts';

// The list of an account's orders, page by page (RFC 8555 section 7.1.2.1).

const PAGE = 100;

/**
 * KEYS: the account's orders. ARGV: what keys of orders begin with, the score that the page is below, how
 * many it has. Answers how many were looked at, the last score, and of those that are not gone the ids and
 * records by turns, the newest first.
 */
const LIST = toScript(`
local found = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[2], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local page = { #found / 2, found[#found] or '' }
for i = 1, #found, 2 do
  local record = redis.call('GET', ARGV[1] .. found[i])
  if record then
    page[#page + 1] = found[i]
    page[#page + 1] = record
  end
end
return page`);

/**
 * @param keys.root what keys of orders begin with
 * @param keys.listKey of an account's orders by when they came
 */
export function openListOrders(
  redis: Redis,
  keys: {
    root: string;
    listKey(account: string): string;
    parse(id: string, text: string | undefined): { order: { status: string } } | undefined;
  },
) {
  const { root, listKey, parse } = keys;

  /**
   * The ids of an account's orders that are not invalid, the newest first.
   *
   * @param cursor of the page before
   * @returns `next`: the cursor of the next page, where there may be one
   */
  return async (account: string, cursor?: number): Promise<{ ids: string[]; next?: number }> => {
    const below = cursor === undefined ? '+inf' : `(${cursor}`;
    const found = (await runScript(redis, LIST, [listKey(account)], [root, below, PAGE])) as [
      number,
      ...string[],
    ];
    const [count, last, ...records] = found;
    const isId = (_: string, at: number) => at % 2 === 0;
    const ids = records.filter(isId).filter((id, at) => {
      const order = parse(id, records[2 * at + 1])?.order;
      return order && order.status !== 'invalid';
    });
    return count === PAGE ? { ids, next: Number(last) } : { ids };
  };
}
