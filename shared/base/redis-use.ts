import type { CommandName } from './redis-commands.ts';

/** Who connects to Redis: the roles, and `cli`, which are the operator's commands. */
export const redisUsers = ['intake', 'worker', 'responder', 'scheduler', 'cli'] as const;
export type RedisUser = (typeof redisUsers)[number];

/** Which user touches what with which commands; those that a script calls count, too. */
type By = Partial<Record<RedisUser, readonly CommandName[]>>;

/** Keys, or channels, of Quarry: their names behind its prefix and a colon, where `*` is any text. */
export type RedisUse = { names: string; by: By; channel?: true; ordering?: true };

export const keys = (names: string, by: By): RedisUse => ({ names, by });
/** What an order needs: a scheduler that keeps shaman profiles renewed orders, too. */
export const ordering = (names: string, by: By): RedisUse => ({ names, by, ordering: true });
export const channel = (names: string, by: By): RedisUse => ({ names, by, channel: true });

type Words<Text> = Text extends `${infer First} ${infer Rest}` ? First | Words<Rest> : Text;

/** `get set del` */
export const list = <Text extends string>(text: Words<Text> extends CommandName ? Text : never) =>
  text.split(' ') as CommandName[];
