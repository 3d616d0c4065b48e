import { check } from './check.ts';
import { type Command, type Io, needFiles, readOptions, UsageError } from './command.ts';

export const checkCommand: Command = {
  usage: ['check [--probe] FILE…', 'check --eab FILE…', 'check --for responder FILE…'],
  forms: ['check [--probe] [--eab] [--for ROLE] FILE…'],
  summary:
    'prints who may have what; --probe tries each verification out, --eab prints the keys for ACME clients, --for ' +
    'responder its part, without secrets',
  example: 'quarry check --probe main.ini',
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, {
      probe: { type: 'boolean' },
      eab: { type: 'boolean' },
      for: { type: 'string' },
    });
    if (values.for !== undefined)
      return writePart(values.for, values.probe ?? values.eab, positionals, { env, write });
    if (values.eab) return writeEabKeys(values.probe, positionals, { env, write });
    const config = await check(needFiles('check', positionals), env, write);
    if (values.probe) await (await import('./probe/probe.ts')).probe(config, write);
  },
};

/** Here alone a secret is written, as it is asked for. */
async function writeEabKeys(probe: boolean | undefined, files: string[], { env, write }: Io): Promise<void> {
  if (probe) throw new UsageError('quarry check --eab main.ini');
  const { listEabKeys } = await import('./acme-server.ts');
  const { loadConfig } = await import('../../shared/setup/load-config.ts');
  await write(listEabKeys(await loadConfig(needFiles('check', files), env)));
}

async function writePart(
  role: string,
  other: boolean | undefined,
  files: string[],
  { env, write }: Io,
): Promise<void> {
  if (role !== 'responder' || other) throw new UsageError('quarry check --for responder main.ini');
  const { toResponderConfig } = await import('./responder-config.ts');
  await write(await toResponderConfig(needFiles('check', files), env));
}
