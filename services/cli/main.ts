#!/usr/bin/env node
import { once } from 'node:events';
import { describeError } from '../../shared/base/errors.ts';
import { VERSION } from '../../shared/base/version.ts';
import { ConfigError } from '../../shared/config/config-error.ts';
import { type Command, UsageError } from './command.ts';
import { commands, loadCommands } from './commands.ts';

const isHelp = (word: string | undefined) => word === '--help' || word === '-h' || word === 'help';

async function main([first, ...words]: string[]): Promise<void> {
  if (first === '--version' || first === '-V') return write(`${VERSION}\n`);
  if (first === undefined || isHelp(first)) return write(describeAll(await loadCommands()));
  if (first.startsWith('-')) throw new UsageError(`Unknown option '${first}'; see quarry --help`);
  const load = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (!load) throw new UsageError(`there is no command ${JSON.stringify(first)}; see quarry --help`);
  const command = await load();
  if (words.some(word => word === '--help' || word === '-h'))
    return write(command.describe?.(words) ?? describeOne(command));
  await command.run(words, { env: process.env, write });
}

async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
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

try {
  await main(process.argv.slice(2));
  process.exitCode = 0;
} catch (error) {
  const prefix = error instanceof ConfigError ? '' : 'quarry: ';
  const lacksPackage = /^Cannot find package '/.test(describeError(error)); // as in a checkout that is new
  const hint = lacksPackage ? '; npm ci in the folder of Quarry brings what is missing' : '';
  process.stderr.on('error', () => {}); // nobody is there to hear it
  process.stderr.write(`${prefix}${describeError(error)}${hint}\n`);
  process.exitCode = error instanceof ConfigError || error instanceof UsageError ? 2 : 1;
}
