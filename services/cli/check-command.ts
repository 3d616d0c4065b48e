import { check } from './check.ts';
import { type Command, type Io, needFiles, readOptions, UsageError } from './command.ts';

export const checkCommand: Command = {
  usage: ['check [--probe] FILE…', 'check --for responder FILE…'],
  summary:
    'prints who may have what; --probe tries each verification out; --for responder prints its part, without secrets',
  example: 'quarry check --probe main.ini',
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, {
      probe: { type: 'boolean' },
      for: { type: 'string' },
    });
    if (values.for !== undefined) return writePart(values.for, values.probe, positionals, { env, write });
    const config = await check(needFiles('check', positionals), env, write);
    if (values.probe) await (await import('./probe/probe.ts')).probe(config, write);
  },
};

async function writePart(
  role: string,
  probe: boolean | undefined,
  files: string[],
  { env, write }: Io,
): Promise<void> {
  if (role !== 'responder' || probe) throw new UsageError('quarry check --for responder main.ini');
  const { toResponderConfig } = await import('./responder-config.ts');
  await write(await toResponderConfig(needFiles('check', files), env));
}
