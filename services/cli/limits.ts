import type { Environment } from '../../shared/config/environment.ts';
import type { Limit } from '../../shared/limits/limits.ts';
import { clearLimit, listLimits } from '../../shared/limits/list-limits.ts';
import { forgetEvents } from '../../shared/queue/notices.ts';
import { loadConfig } from '../../shared/setup/load-config.ts';
import { type Command, needFiles, readWords, UsageError } from './command.ts';
import { openFleetRedis } from './fleet-redis.ts';
import { noteOperator } from './operator-event.ts';
import { describeShares } from './shares.ts';

/** `quarry limits`: two forms, one of which acts. */
export const limitsCommand: Command = {
  usage: ['limits FILE…', 'limits clear KEY FILE…'],
  summary:
    "what the CA's limits and failed validations hold back, and what is left of shares; clear lets what KEY names be tried again",
  example: 'quarry limits clear name/www.example.org main.ini',
  async run(words, { env, write }) {
    const [first, key, ...files] = readWords(words);
    if (first !== 'clear') return writeLimits(needFiles('limits', readWords(words)), env, write);
    if (key === undefined || files.length === 0)
      throw new UsageError('give a key and a file: quarry limits clear KEY main.ini');
    return clear(key, files, env, write);
  },
};

/**
 * `quarry limits FILE…`: what the CA's limits and failed validations hold back now, and what is left of
 * shares.
 */
async function writeLimits(files: string[], env: Environment, write: (text: string) => void): Promise<void> {
  using opened = await openFleetRedis(files, env);
  const limits = await listLimits(opened.store, opened.clock);
  const shares = await describeShares(await loadConfig(files, env), opened.store, opened.clock.now());
  const held = limits.length > 0 ? limits.map(toText) : ['nothing is held back'];
  write(`${[...held, ...shares].join('\n')}\n`);
}

/**
 * `quarry limits clear KEY FILE…`: lets what KEY names be tried again.
 *
 * @throws Error when there is no such limit
 */
async function clear(
  key: string,
  files: string[],
  env: Environment,
  write: (text: string) => void,
): Promise<void> {
  using opened = await openFleetRedis(files, env);
  await noteOperator(opened, `limits clear ${key}`);
  const cleared = await clearLimit(opened.store, key, opened.clock);
  if (cleared.length === 0) throw new Error(`no limit ${JSON.stringify(key)}; quarry limits lists them`);
  for (const one of cleared) {
    await forgetEvents(opened.store, one, ['account-paused']);
    write(`cleared: ${one}\n`);
  }
}

function toText({ key, until, detail, names }: Limit): string {
  const end = until === undefined ? 'until you clear it' : `until ${new Date(until).toISOString()}`;
  return `${key}  ${end}\n    ${detail}\n    last asked for: ${names.join(', ')}`;
}
