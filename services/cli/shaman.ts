import { readFile } from 'node:fs/promises';
import { delimiter, resolve } from 'node:path';
import { systemClock } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { type Environment, readVariable } from '../../shared/config/environment.ts';
import { parseLevel } from '../../shared/config/logging.ts';
import { parseCertificateFile } from '../../shared/config/option-values.ts';
import { readProxy } from '../../shared/config/proxy.ts';
import { openShamanFile } from '../../shared/shaman/file.ts';
import { type DomainOutcome, runShaman } from '../../shared/shaman/run-shaman.ts';
import { type Command, type Io, readWords, UsageError } from './command.ts';
import { openShamanLog, toLogLevel } from './shaman-log.ts';

/** `quarry shaman [DIRECTORY]`: what concorde's `shaman` does. */
export const shamanCommand: Command = {
  usage: ['shaman [DIRECTORY]'],
  summary:
    'brings the certificates of the shaman.json in DIRECTORY (by default here) up to date; needs no FILE',
  example: 'quarry shaman /etc/shaman',
  async run(words, io) {
    const [directory = '.', ...more] = readWords(words);
    if (more.length > 0) throw new UsageError('shaman takes one directory: quarry shaman [DIRECTORY]');
    using stop = stopBySignals();
    const failed = (await run(resolve(directory), io, stop.signal)).filter(({ did }) => did === 'failed');
    if (failed.length > 0) throw new Error(`failed: ${failed.map(({ name }) => name).join(', ')}`);
  },
};

function stopBySignals(): Disposable & { signal: AbortSignal } {
  const stop = new AbortController();
  const end = (signal: NodeJS.Signals) =>
    stop.abort(new Error(`stopped by ${signal}; the next run goes on from here`));
  const signals = ['SIGTERM', 'SIGINT'] as const;
  for (const signal of signals) process.once(signal, end);
  return {
    signal: stop.signal,
    [Symbol.dispose]() {
      for (const signal of signals) process.off(signal, end);
    },
  };
}

async function run(directory: string, { env, write }: Io, signal: AbortSignal): Promise<DomainOutcome[]> {
  const { logThreshold } = await openShamanFile(directory).read();
  const [ca, proxy] = [await readAuthorities(env), readProxy(env)];
  const level = readVariable(env, 'QUARRY_LOG', parseLevel) ?? toLogLevel(logThreshold);
  await using opened = await openShamanLog(level, write);
  const { log } = opened;
  const path = (env.PATH ?? '').split(delimiter).filter(folder => folder !== '');
  try {
    return await runShaman({ directory, path, ca, proxy, clock: systemClock, log, signal });
  } catch (error) {
    log.fatal(describeError(error));
    throw error;
  }
}

async function readAuthorities(env: Environment): Promise<string[] | undefined> {
  const file = readVariable(env, 'ACME_CAFILE', parseCertificateFile);
  return file === undefined ? undefined : [await readFile(file, 'utf8')];
}
