import { describeError } from '../../shared/base/errors.ts';
import { VERSION } from '../../shared/base/version.ts';
import { ConfigError } from '../../shared/config/config-error.ts';
import { findMeant } from '../../shared/config/guess.ts';
import { type Command, type Io, UsageError } from './command.ts';
import { commands, loadCommands } from './commands.ts';

/**
 * Does what `quarry` is told.
 *
 * @param words those behind `quarry`
 * @param complain to standard error; a line with its end
 * @returns the exit code: 2 where the words or a configuration are wrong, 1 for all else that went wrong,
 *   which stands in one line
 */
export async function runCommand(
  words: string[],
  io: Io,
  complain: (line: string) => void,
): Promise<0 | 1 | 2> {
  try {
    await run(words, io);
    return 0;
  } catch (error) {
    const prefix = error instanceof ConfigError ? '' : 'quarry: ';
    const lacksPackage = /^Cannot find package '/.test(describeError(error)); // as in a checkout that is new
    const hint = lacksPackage ? '; npm ci in the folder of Quarry brings what is missing' : '';
    complain(`${prefix}${describeError(error)}${hint}\n`);
    return error instanceof ConfigError || error instanceof UsageError ? 2 : 1;
  }
}

const isHelp = (word: string | undefined) => word === '--help' || word === '-h' || word === 'help';

async function run([first, ...words]: string[], io: Io): Promise<void> {
  if (first === '--version' || first === '-V') return await io.write(`${VERSION}\n`);
  if (first === undefined || isHelp(first)) return await io.write(describeAll(await loadCommands()));
  if (first.startsWith('-'))
    throw new UsageError(`a command comes first, such as quarry up; see quarry --help`);
  const load = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (!load) throw new UsageError(describeUnknown(first));
  const command = await load();
  if (words.some(word => word === '--help' || word === '-h'))
    return await io.write(command.describe?.(words) ?? describeOne(command));
  await command.run(words, io);
}

function describeUnknown(command: string): string {
  const meant = findMeant(command, Object.keys(commands));
  const what = `there is no command ${JSON.stringify(command)}`;
  if (meant !== undefined) return `${what}, did you mean ${meant}? quarry --help has them all`;
  return `${what}: quarry up main.ini runs the server, and quarry --help has all commands`;
}

const USAGE_WIDTH = 23;

function describeAll(commands: Record<string, Command>): string {
  const lines = Object.values(commands).flatMap(({ usage, summary }) => {
    const [last = '', ...before] = usage.toReversed();
    const short = last.length <= USAGE_WIDTH;
    return [
      ...before.toReversed().map(form => `  quarry ${form}`),
      ...(short ? [] : [`  quarry ${last}`]),
      `  ${(short ? `quarry ${last}` : '').padEnd(USAGE_WIDTH + 7)}  ${summary}`,
    ];
  });
  return `quarry ${VERSION}: a central ACME certificate server

${lines.join('\n')}

FILE… are INI files, or folders with *.ini in them, read as one. Environment: REDIS_URL, ACME_CAFILE, QUARRY_LOG (a log level), HTTPS_PROXY, NO_PROXY.
For example: quarry up main.ini
`;
}

function describeOne({ usage, summary, example }: Command): string {
  return `${usage.map(form => `quarry ${form}`).join('\n')}\n\n  ${summary}\n\nFor example: ${example}\n`;
}
