#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { describeError } from '../../shared/base/errors.ts';
import type { OpenLog } from '../../shared/base/log.ts';
import { VERSION } from '../../shared/base/version.ts';
import { ConfigError } from '../../shared/config/config-error.ts';
import { check } from './check.ts';
import { clearLimit, listLimits } from './limits.ts';
import { type RoleName, roleNames, runRoles } from './run-roles.ts';

const USAGE = `quarry ${VERSION}: a central ACME certificate server

  quarry up FILE…          all roles in one process; starts a private Redis where none is configured
  quarry intake FILE…      takes CSRs over HTTP
  quarry worker FILE…      drives the ACME orders
  quarry responder FILE…   answers the CA's challenges
  quarry check FILE…       reads the configuration and prints who may have what
  quarry limits FILE…      lists what the CA's limits and failed validations hold back
  quarry limits clear KEY FILE…
                           lets what KEY names be tried again

FILE… are INI files, read as one. Environment: REDIS_URL, ACME_CAFILE, QUARRY_LOG (a log level).
For example: quarry up main.ini
`;

/** Wrong words on the command line; exit code 2, as for a wrong configuration. */
class UsageError extends Error {}

/** How long a clean stop may take before the process ends anyway; under the ten seconds that container engines give. */
const STOP_TIMEOUT = 9_000;

async function main(): Promise<void> {
  const { values, positionals } = readArguments();
  const [command, ...files] = positionals;
  if (values.version) return void process.stdout.write(`${VERSION}\n`);
  if (values.help || command === undefined || command === 'help') return void process.stdout.write(USAGE);
  if (files.length === 0) throw new UsageError(`${command} needs a configuration file: quarry ${command} main.ini`);
  const write = (text: string) => void process.stdout.write(text);
  if (command === 'check') return check(files, process.env, write);
  if (command === 'limits') return limits(files, write);
  const roles = command === 'up' ? roleNames : roleNames.filter(name => name === command);
  if (roles.length === 0) throw new UsageError(`there is no command ${JSON.stringify(command)}; see quarry --help`);
  await run(roles, files, command === 'up');
}

async function limits(words: string[], write: (text: string) => void): Promise<void> {
  if (words[0] !== 'clear') return listLimits(words, process.env, write);
  const [, key, ...files] = words;
  if (key === undefined || files.length === 0)
    throw new UsageError('give a key and a file: quarry limits clear KEY main.ini');
  return clearLimit(key, files, process.env, write);
}

function readArguments() {
  try {
    const options = { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'V' } } as const;
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`${describeError(error)}; see quarry --help`);
  }
}

async function run(roles: readonly RoleName[], files: string[], privateRedis: boolean): Promise<void> {
  const stop = new AbortController();
  let opened: OpenLog | undefined;
  process.on('SIGHUP', () => opened?.reopen());
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(1); // asked twice: at once
      stop.abort();
      setTimeout(() => process.exit(1), STOP_TIMEOUT).unref();
    });
  }
  const onLog = (log: OpenLog) => {
    opened = log;
  };
  await runRoles({ files, roles, privateRedis, env: process.env, stop: stop.signal, onLog });
  process.exit(0); // all is closed; timers of libraries that a Redis which is away has left are not waited for
}

try {
  await main();
  process.exitCode = 0;
} catch (error) {
  const prefix = error instanceof ConfigError ? '' : 'quarry: ';
  process.stderr.write(`${prefix}${describeError(error)}\n`);
  process.exitCode = error instanceof ConfigError || error instanceof UsageError ? 2 : 1;
}
