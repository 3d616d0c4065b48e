import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { toDomainGlob } from '../../shared/admission/admit.ts';
import { describeError } from '../../shared/base/errors.ts';
import { explainFileError } from '../../shared/base/file-error.ts';
import { trailKeyFile } from '../../shared/config/trail.ts';
import { type Config, loadConfig } from '../../shared/setup/load-config.ts';
import { readHead, restartTrail } from '../../shared/trail/files.ts';
import { type Found, findInFiles, findInRedis, type Wanted } from '../../shared/trail/find.ts';
import { type Head, PUBLIC_KEY_FILE } from '../../shared/trail/line.ts';
import { openSigningKey, type PublicKey, readPublicKey } from '../../shared/trail/signing-key.ts';
import { type Finding, verifyTrail } from '../../shared/trail/verify.ts';
import { type Command, type Io, needFiles, parseTime, readOptions, UsageError } from './command.ts';
import { openFleetRedis, reachFleetRedis } from './fleet-redis.ts';
import { noteOperator } from './operator-event.ts';

const FILTER = '[--name GLOB] [--since TIME] [--until TIME]';

/** `quarry trail`: what happened, and whether what the files say of it is what was sealed. */
export const trailCommand: Command = {
  usage: [
    'trail verify [--key PEM] FILE…',
    `trail show ${FILTER} FILE…`,
    `trail export ${FILTER} FILE…`,
    'trail key FILE…',
    'trail restart FILE…',
  ],
  summary:
    'who got what: verify proves that no sealed line was changed or is missing; export writes JSON; FILE may be the [trail] dir itself',
  example: "quarry trail show --name '*.example.org' --since 2026-11-20 main.ini",
  async run(words, io) {
    const { values, positionals } = readOptions(words, {
      key: { type: 'string' },
      name: { type: 'string' },
      since: { type: 'string' },
      until: { type: 'string' },
    });
    const [act = '', ...files] = positionals;
    const run = Object.hasOwn(acts, act) ? acts[act] : undefined;
    if (!run) throw new UsageError(`trail needs one of ${Object.keys(acts).join(', ')}; see quarry --help`);
    const foreign = Object.keys(values).find(name => !run.options.includes(name));
    if (foreign) throw new UsageError(`trail ${act} takes no --${foreign}`);
    await run.act(needFiles(`trail ${act}`, files), values, io);
  },
};

type Values = { key?: string; name?: string; since?: string; until?: string };
type Act = { options: string[]; act(files: string[], values: Values, io: Io): Promise<void> };

const filters = ['name', 'since', 'until'];
const acts: Record<string, Act> = {
  verify: { options: ['key'], act: verify },
  show: { options: filters, act: (files, values, io) => list(files, values, io, toText) },
  export: { options: filters, act: (files, values, io) => list(files, values, io, ({ text }) => text) },
  key: { options: [], act: writeKey },
  restart: { options: [], act: restart },
};

/** Where a trail lies: a directory alone is enough to verify and to read it. */
type Place = { directory: string | undefined; config: Config | undefined };

async function findPlace(files: string[], { env }: Io): Promise<Place> {
  const [directory = ''] = files;
  const isDirectory = (await stat(directory).catch(() => undefined))?.isDirectory() ?? false;
  if (isDirectory && files.length === 1) return { directory, config: undefined };
  const config = await loadConfig(files, env);
  return { directory: config.trail.dir, config };
}

async function verify(files: string[], { key: keyFile }: Values, io: Io): Promise<void> {
  const { directory, config } = await findPlace(files, io);
  if (directory === undefined) throw new Error('no [trail] dir is configured, so nothing is sealed');
  const { key, from } = await findKey(directory, keyFile, config);
  const { known, without } = await askRedis(config, key);
  const { faults, notes, lines, files: count, proven } = await verifyTrail(directory, key, known);
  for (const note of notes) await io.write(`note   ${toPlace(note)}\n`);
  for (const fault of faults) await io.write(`FAULT  ${toPlace(fault)}\n`);
  const what = `${lines} lines in ${count} files`;
  if (faults.length > 0) throw new Error(`${what}: the trail is not what was sealed, or events are missing`);
  await io.write(`ok     ${what} are as they were sealed until ${proven ?? 'now: there are none'}\n`);
  await io.write(`       by key ${key.fingerprint}, from ${from}\n${without}`);
}

const toPlace = ({ file, line, what }: Finding) =>
  plain(file === '' ? what : line === 0 ? `${file}: ${what}` : `${file}:${line}: ${what}`);

/** The key that the caller trusts, else that of this installation, else the one beside the files. */
async function findKey(
  directory: string,
  keyFile: string | undefined,
  config: Config | undefined,
): Promise<{ key: PublicKey; from: string }> {
  const own = config && trailKeyFile(config);
  if (keyFile === undefined && own !== undefined && (await isReadable(own)))
    return { key: (await openSigningKey(own)).publicKey, from: own };
  const file = keyFile ?? join(directory, PUBLIC_KEY_FILE);
  const pem = await readFile(file, 'utf8').catch(error => {
    throw new Error(`${file} cannot be read: ${explainFileError(error)}`);
  });
  const advice = keyFile === undefined ? ': compare it with what quarry trail key says' : '';
  try {
    return { key: readPublicKey(pem), from: `${file}${advice}` };
  } catch (error) {
    throw new Error(`${file} is no Ed25519 public key: ${describeError(error)}`);
  }
}

const isReadable = (file: string) =>
  readFile(file).then(
    () => true,
    () => false,
  );

async function askRedis(
  config: Config | undefined,
  key: PublicKey,
): Promise<{ known: Head | undefined; without: string }> {
  const without = '       Redis was not asked whether more was sealed since\n';
  if (!config) return { known: undefined, without };
  using reached = await reachFleetRedis(config.redis);
  if (reached.fault !== undefined) return { known: undefined, without };
  return { known: await readHead(reached.store, key), without: '' };
}

async function list(
  files: string[],
  { name, since, until }: Values,
  io: Io,
  render: (found: Found) => string,
): Promise<void> {
  const { directory, config } = await findPlace(files, io);
  const hasName = name === undefined ? undefined : toDomainGlob(name);
  const wanted: Wanted = { hasName, since: parseTime(since), until: parseTime(until) };
  const write = async (parts: AsyncGenerator<Found[]>) => {
    for await (const part of parts) if (part.length > 0) await io.write(`${part.map(render).join('\n')}\n`);
  };
  if (directory !== undefined) await write(findInFiles(directory, wanted));
  if (!config) return;
  using reached = await reachFleetRedis(config.redis);
  if (reached.fault !== undefined && directory === undefined) throw new Error(reached.fault);
  if (reached.fault !== undefined) return;
  const sealed = directory === undefined ? undefined : await readHead(reached.store);
  await write(findInRedis(reached.store, sealed?.at.id, wanted));
}

function toText({ time, event, names = [], rest }: Found): string {
  const more = rest.map(([name, value]) => `${name}=${value}`).join('  ');
  return plain(`${time}  ${event.padEnd(10)}  ${names.join(',')}  ${more}`.trimEnd());
}

/** Nothing that a terminal would obey. */
const plain = (text: string) => text.replace(/[\p{C}\u2028\u2029]/gu, '\u{fffd}');

async function writeKey(files: string[], _: Values, { env, write }: Io): Promise<void> {
  const file = trailKeyFile(await loadConfig(files, env));
  if (!(await isReadable(file))) throw new Error(`${file} is not there: a scheduler makes it`);
  await write((await openSigningKey(file)).publicKey.pem);
}

async function restart(files: string[], _: Values, { env, write }: Io): Promise<void> {
  using opened = await openFleetRedis(files, env);
  await noteOperator(opened, 'trail restart');
  await restartTrail(opened.store);
  await write('the schedulers seal into their [trail] dir from now on\n');
}
