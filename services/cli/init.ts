import { chown } from 'node:fs/promises';
import { type Command, type Io, readOptions, UsageError } from './command.ts';
import { type Given, openTerminal, type Terminal } from './init/ask.ts';
import { findContainerOwner } from './init/compose.ts';
import { type Existing, readExisting, saysTheSame } from './init/existing.ts';
import { finish } from './init/finish.ts';
import type { Place } from './init/main-ini.ts';
import { type Made, makeConfig } from './init/make-config.ts';
import { describeInitOptions, initForm, initOptions } from './init/options.ts';
import { findSetup, type Setup } from './init/setup.ts';
import { findServiceUser, type Parts, prepareService } from './init/systemd.ts';
import { tellChoices, tellExisting } from './init/tell.ts';
import { copyCaFile, type Owner, putConfig, tryConfig } from './init/write-config.ts';

const usage = 'init [OPTION]… [FILE]';
const summary = 'asks five questions, or takes the answers as options, and writes a main.ini that works';
const example = 'quarry init --ca staging --name www.example.org --clients this-machine --accept-terms --yes';

/** `quarry init`: five questions, and a main.ini that works. */
export const initCommand: Command = {
  usage: [usage],
  forms: [initForm],
  ...{ summary, example },
  describe: () => `quarry ${usage}\n\n  ${summary}\n${describeInitOptions()}\nFor example: ${example}\n`,
  async run(words, io) {
    const { values, positionals } = readOptions(words, initOptions);
    const [named, ...more] = positionals;
    if (more.length > 0) throw new UsageError('init writes one file: quarry init main.ini');
    await init(toGiven(values), named, io);
  },
};

const toGiven = (values: Record<string, unknown>): Given =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, [value].flat().join(' ')]));

async function init(given: Given, named: string | undefined, io: Io): Promise<void> {
  const setup = await findSetup(given, named, io);
  const { place, env } = setup;
  const before = await readExisting(place.file, env);
  if (before) await io.write(tellExisting(place.file, before.defaults));
  const isAsking = given.yes === undefined && process.stdin.isTTY && process.stdout.isTTY;
  using terminal = isAsking ? openTerminal() : undefined;
  if (before && terminal && !(await isToChange(terminal)))
    return void (await io.write('Nothing is changed.\n'));
  const made = await makeConfig(setup, before, terminal);
  const isSame = before !== undefined && saysTheSame(before, made.text);
  if (isSame) await leaveConfig(setup);
  else await writeConfig(made, setup, before, terminal !== undefined || given.force !== undefined);
  await finish(made, setup, { isSame, isAgain: before !== undefined });
}

async function isToChange(terminal: Terminal): Promise<boolean> {
  const what = 'Answer the questions again? Its keys stay, and so does all that is not asked for. [y/N] ';
  return /^y(es)?$/i.test((await terminal.line(what)).trim());
}

async function writeConfig(
  { answers, text, listeners, kept, copied }: Made,
  { place, io, env, parts, given, quarry }: Setup,
  before: Existing | undefined,
  mayRewrite: boolean,
): Promise<void> {
  if (before && !mayRewrite)
    throw new Error('nothing is changed: with --force it is written anew; its keys stay, and a copy is kept');
  const now = new Date();
  const { caFile, fault } = answers.ca;
  const isToCopy = caFile !== undefined && copied !== undefined && caFile !== copied;
  const oldCa = isToCopy ? await copyCaFile(copied, caFile, now) : undefined;
  const unasked =
    fault === undefined ? [] : [`the CA could not be asked, so its terms are accepted unseen: ${fault}`];
  const warnings = [...unasked, ...(await tryConfig(place.file, text, env, place.kind !== 'compose'))];
  const owner = await findOwner(place, given, parts);
  const copy = await putConfig(place.file, text, { owner, before: before?.text, now });
  const whose = owner === undefined ? 'you' : 'its user';
  await io.write(`\n${place.file} is written, for ${whose} alone to read. It says:\n\n`);
  await io.write(tellChoices(answers, place, { listeners, kept, again: toAgain(place, quarry, given) }));
  if (copy !== undefined) await io.write(`\nWhat it said before is in ${copy}\n`);
  if (oldCa !== undefined) await io.write(`\nThe ${caFile} of before is ${oldCa} now\n`);
  if (warnings.length > 0) await io.write(`\n${warnings.map(one => `warning: ${one}\n`).join('')}`);
}

/** It says all that already, and need not yet be the service's. */
async function leaveConfig({ place, given, parts, io }: Setup): Promise<void> {
  await io.write('It says all that already.\n');
  const owner = await findOwner(place, given, parts);
  if (owner) await chown(place.file, owner.uid, owner.gid);
}

function toAgain({ kind, file }: Place, quarry: string, given: Given): string {
  const ways = ['systemd', 'compose'].filter(way => given[way] !== undefined).map(way => ` --${way}`);
  return `${quarry} init${ways.join('')}${kind === 'here' ? ` ${file}` : ''}`;
}

async function findOwner({ kind }: Place, given: Given, parts: Parts): Promise<Owner | undefined> {
  if (given.systemd !== undefined) return prepareService(parts);
  if (kind === 'compose') return findContainerOwner();
  return kind === 'system' && parts.isRoot ? findServiceUser(parts.path) : undefined;
}
