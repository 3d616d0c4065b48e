import {
  either,
  isText,
  listOf,
  optional,
  parseNumber,
  parseValue,
  runScript,
  type Store,
  shapeOf,
  toScript,
} from '../base/redis.ts';
import type { AccountState } from './account-holder.ts';

/** How the fleet's accounts are, as a worker found last; for people. */
export type AccountStates = {
  write(account: string, state: AccountState): Promise<void>;
  /** @returns `since`: milliseconds since the epoch; `undefined` where no worker has looked yet */
  read(account: string): Promise<(AccountState & { since: number }) | undefined>;
};

/** Keeps the time of a state that has not changed. KEYS: accounts. ARGV: account, state. */
const WRITE_STATE = toScript(`
local there = redis.call('HGET', KEYS[1], ARGV[1])
if there and string.match(there, '^%d+ (.*)$') == ARGV[2] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now) .. ARGV[2])`);

const isAccountState = either(
  shapeOf<{ url: string; issuers?: string[] }>({ url: isText, issuers: optional(listOf(isText)) }),
  shapeOf<{ fault: string }>({ fault: isText }),
);

export function openAccountStates({ redis, prefix }: Store): AccountStates {
  const key = `${prefix}:accounts`;
  return {
    write: async (account, state) => {
      await runScript(redis, WRITE_STATE, [key], [account, JSON.stringify(state)]);
    },
    async read(account) {
      const text = await redis.hget(key, account);
      if (text === null) return undefined;
      const [space, place] = [text.indexOf(' '), `${key} ${account}`];
      const state = parseValue(place, text.slice(space + 1), isAccountState);
      return { ...state, since: parseNumber(place, text.slice(0, space)) };
    },
  };
}
