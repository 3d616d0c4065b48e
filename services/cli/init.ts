import { randomBytes } from 'node:crypto';
import { chown, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeAtomically } from '../../shared/base/atomic-file.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { describeSection } from '../../shared/config/config-error.ts';
import type { Environment } from '../../shared/config/environment.ts';
import { readProxy } from '../../shared/config/proxy.ts';
import { type Command, type Io, readOptions, UsageError } from './command.ts';
import type { Answers, CaAnswer } from './init/answers.ts';
import { type Given, openTerminal, type Terminal } from './init/ask.ts';
import {
  findContainerOwner,
  findUnreadable,
  needCompose,
  readVariables,
  toVariables,
  writeVariables,
} from './init/compose.ts';
import { type Existing, readExisting, saysTheSame } from './init/existing.ts';
import { findFacts } from './init/facts.ts';
import { gatherAnswers } from './init/gather.ts';
import { keepOld } from './init/keep.ts';
import { openLookAtCa } from './init/look-at-ca.ts';
import { type Place, renderIni, type Section, toListeners, toSections } from './init/main-ini.ts';
import { tellNextSteps } from './init/next-steps.ts';
import { describeInitOptions, initForm, initOptions } from './init/options.ts';
import { choosePlace, findCall, findOwnProgram, isFromDebian } from './init/place.ts';
import {
  findServiceUser,
  hasUnit,
  needSystemd,
  type Parts,
  prepareService,
  startService,
  systemdPaths,
} from './init/systemd.ts';
import { tellChoices, tellExisting } from './init/tell.ts';
import { needFolder, type Owner, putConfig, tryConfig } from './init/write-config.ts';

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

type Setup = {
  given: Given;
  place: Place;
  parts: Parts;
  folder: string;
  quarry: string;
  io: Io;
  /** As the roles will have it. */
  env: Environment;
};

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

/** What can be known, and what stands in the way, before anybody is asked. */
async function findSetup(given: Given, named: string | undefined, io: Io): Promise<Setup> {
  const [systemd, compose] = [given.systemd !== undefined, given.compose !== undefined];
  const [program, folder, isRoot] = [findOwnProgram(process.argv), process.cwd(), process.getuid?.() === 0];
  const [paths, path] = [systemdPaths, io.env.PATH ?? ''];
  const say = (line: string) => void io.write(`  ${line}\n`);
  const parts: Parts = { paths, program, path, isRoot, say };
  const machine = { launcher: program.launcher, etc: paths.etc, folder, isRoot, hasUnit: hasUnit(paths) };
  const place = choosePlace(named, { systemd, compose }, machine);
  if (systemd) needSystemd(parts);
  if (compose) needCompose(folder);
  await needFolder(dirname(place.file), place.kind === 'system');
  const env = toRolesEnv(place, io.env, paths.etc);
  return { given, place, parts, folder, io, env, quarry: findCall(program, io.env, folder) };
}

function toRolesEnv({ kind, file }: Place, env: Environment, etc: string): Environment {
  if (kind === 'system') return { CREDENTIALS_DIRECTORY: join(etc, 'credentials'), ...env };
  return kind === 'compose' ? { ...env, QUARRY_CA_FILE: join(dirname(file), 'ca.pem') } : env;
}

async function isToChange(terminal: Terminal): Promise<boolean> {
  const what = 'Answer the questions again? Its keys stay, and so does all that is not asked for. [y/N] ';
  return /^y(es)?$/i.test((await terminal.line(what)).trim());
}

type Made = {
  answers: Answers;
  sections: Section[];
  /** Those of before, of which nobody was asked. */
  kept: Section[];
  text: string;
  listeners: string[];
  server: string;
  /** The certificate of the CA's own TLS, from where it was given. */
  copied: string | undefined;
};

async function makeConfig(
  { given, place, folder, quarry, env }: Setup,
  before: Existing | undefined,
  terminal: Terminal | undefined,
): Promise<Made> {
  const facts = findFacts(place);
  const { port, listen, ...defaults } = before?.defaults ?? {};
  const ports = facts.isComposed ? await readVariables(folder) : { port, listen };
  const { ca, ...others } = await gatherAnswers({
    ...{ given, terminal, facts, folder },
    takesDefaults: given.yes !== undefined || (before !== undefined && !terminal),
    defaults: { ...defaults, ...ports },
    before: before?.account,
    lookAtCa: openLookAtCa(readProxy(env)),
  });
  const answers: Answers = { ...others, ca: atService(ca, place) };
  const { hasIpv6, server } = facts;
  const made = toSections(answers, place, { hasIpv6, makeKey: () => randomBytes(32).toString('base64') });
  const sections = before ? keepOld(before.sections, made) : made;
  const listeners = toListeners(answers, place, hasIpv6);
  const text = renderIni(sections, toCheck(place, quarry));
  const isMade = (section: Section) => made.some(one => describeSection(one) === describeSection(section));
  const kept = sections.filter(section => !isMade(section));
  return { answers, sections, kept, text, listeners, server, copied: ca.caFile };
}

/** A service's user cannot look everywhere, and neither can one in a container: it gets a copy. */
const atService = (ca: CaAnswer, { kind, file }: Place): CaAnswer =>
  kind !== 'here' && ca.caFile !== undefined ? { ...ca, caFile: join(dirname(file), 'ca.pem') } : ca;

const toCheck = ({ kind, file }: Place, quarry: string) =>
  kind === 'compose'
    ? 'docker compose run --rm worker check /etc/quarry/main.ini'
    : `${quarry} check ${file}`;

async function writeConfig(
  { answers, text, listeners, kept, copied }: Made,
  { place, io, env, parts, given, quarry }: Setup,
  before: Existing | undefined,
  mayRewrite: boolean,
): Promise<void> {
  if (before && !mayRewrite)
    throw new Error('nothing is changed: with --force it is written anew; its keys stay, and a copy is kept');
  const { caFile, fault } = answers.ca;
  if (caFile !== undefined && copied !== undefined && caFile !== copied)
    await writeAtomically(caFile, await readFile(copied, 'utf8'));
  const unasked =
    fault === undefined ? [] : [`the CA could not be asked, so its terms are accepted unseen: ${fault}`];
  const warnings = [...unasked, ...(await tryConfig(place.file, text, env, place.kind !== 'compose'))];
  const owner = await findOwner(place, given, parts);
  const copy = await putConfig(place.file, text, { owner, before: before?.text, now: new Date() });
  const whose = owner === undefined ? 'you' : 'its user';
  await io.write(`\n${place.file} is written, for ${whose} alone to read. It says:\n\n`);
  await io.write(tellChoices(answers, place, { listeners, kept, again: toAgain(place, quarry, given) }));
  if (copy !== undefined) await io.write(`\nWhat it said before is in ${copy}\n`);
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

async function finish(
  { answers, sections, listeners, server }: Made,
  { given, place, parts, folder, quarry, io }: Setup,
  { isSame, isAgain }: { isSame: boolean; isAgain: boolean },
): Promise<void> {
  const isStarted = given.systemd !== undefined;
  const isComposed = place.kind === 'compose';
  const variables = isComposed ? toVariables(answers, place.file, folder) : {};
  if (isComposed) await writeVariables(folder, variables);
  if (isStarted) await io.write('\n');
  if (isStarted) await startService({ ...parts, clock: systemClock }, isSame);
  const before = isComposed ? findUnreadable(place.file) : undefined;
  const setting = {
    place,
    quarry,
    isDebian: isFromDebian(parts.program),
    isStarted,
    isAgain,
    isRoot: parts.isRoot,
    server,
    ...(before !== undefined && { before }),
  };
  const doors = isComposed ? [variables.QUARRY_PORT ?? ''] : listeners;
  await io.write(`\n${tellNextSteps(answers, sections, { ...setting, listeners: doors })}`);
}
