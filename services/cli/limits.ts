import { systemClock } from '../../shared/base/clock.ts';
import type { Environment } from '../../shared/config/environment.ts';
import { type Limit, openLimits } from '../../shared/limits/limits.ts';
import { forgetEvents } from '../../shared/queue/notices.ts';
import { type Command, needFiles, readWords, UsageError } from './command.ts';
import { openFleetRedis } from './fleet-redis.ts';

/** `quarry limits`: two forms, one of which acts. */
export const limitsCommand: Command = {
  usage: ['limits FILE…', 'limits clear KEY FILE…'],
  summary: "what the CA's limits and failed validations hold back; clear lets what KEY names be tried again",
  example: 'quarry limits clear name/www.example.org main.ini',
  async run(words, { env, write }) {
    const [first, key, ...files] = readWords(words);
    if (first !== 'clear') return listLimits(needFiles('limits', readWords(words)), env, write);
    if (key === undefined || files.length === 0)
      throw new UsageError('give a key and a file: quarry limits clear KEY main.ini');
    return clearLimit(key, files, env, write);
  },
};

/** `quarry limits FILE…`: what the CA's limits and failed validations hold back now. */
async function listLimits(files: string[], env: Environment, write: (text: string) => void): Promise<void> {
  using opened = await open(files, env);
  const limits = await opened.limits.list();
  write(limits.length > 0 ? `${limits.map(toText).join('\n')}\n` : 'nothing is held back\n');
}

/**
 * `quarry limits clear KEY FILE…`: lets what KEY names be tried again.
 *
 * @throws Error when there is no such limit
 */
async function clearLimit(
  key: string,
  files: string[],
  env: Environment,
  write: (text: string) => void,
): Promise<void> {
  using opened = await open(files, env);
  if (!(await opened.limits.clear(key)))
    throw new Error(`no limit ${JSON.stringify(key)}; quarry limits lists them`);
  await forgetEvents(opened.store, key, ['account-paused']);
  write(`cleared: ${key}\n`);
}

function toText({ key, until, detail, names }: Limit): string {
  const end = until === undefined ? 'until you clear it' : `until ${new Date(until).toISOString()}`;
  return `${key}  ${end}\n    ${detail}\n    last asked for: ${names.join(', ')}`;
}

async function open(files: string[], env: Environment) {
  const opened = await openFleetRedis(files, env);
  return { ...opened, limits: openLimits(opened.store, systemClock) };
}
