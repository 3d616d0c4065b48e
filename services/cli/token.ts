import { openUrls } from '../../shared/acme-server/urls.ts';
import { toDomainGlob } from '../../shared/admission/admit.ts';
import { openSeals, type Seals } from '../../shared/admission/hmac.ts';
import { type ListedToken, openTokenList, type TokenList } from '../../shared/admission/token-list.ts';
import { tokenBindingKey, tokenDigest } from '../../shared/admission/token-record.ts';
import { findCidrFault } from '../../shared/base/identifier.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { type Command, needFiles, parseTime, readOptions, UsageError } from './command.ts';
import { type FleetWithSecret, openFleetWithSecret } from './fleet-redis.ts';
import { noteOperator } from './operator-event.ts';

const acts = ['add', 'list', 'revoke'];

/** `quarry token`: bearer tokens for single hosts. */
export const tokenCommand: Command = {
  usage: [
    'token add [--names NAMES] [--block BLOCK] [--once] [--until TIME] NAME FILE…',
    'token list [--json] FILE…',
    'token revoke NAME FILE…',
  ],
  summary:
    'bearer tokens, each for some names of a block; add shows the new one, once; NAMES are globs, joined by commas',
  example: 'quarry token add --names web1.example.org --once web1 main.ini',
  async run(words, { env, write }) {
    const { values, positionals } = readOptions(words, {
      ...{ names: { type: 'string' }, block: { type: 'string' }, until: { type: 'string' } },
      ...{ once: { type: 'boolean' }, json: { type: 'boolean' } },
    });
    const [act = '', ...rest] = positionals;
    if (!acts.includes(act))
      throw new UsageError(`token needs one of ${acts.join(', ')}: quarry token list main.ini`);
    refuseForeign(act, values);
    const [name, files] = act === 'list' ? ['', needFiles('token list', rest)] : splitName(act, rest);
    using fleet = await openFleetWithSecret(files, env);
    const seals = openSeals(fleet.secret);
    const opened = { ...fleet, seals, tokens: openTokenList(fleet.store, seals, fleet.clock) };
    if (act === 'list') return write(await listTokens(opened, values.json ?? false));
    if (act === 'revoke') return write(await revokeToken(opened, name));
    const wanted = { once: values.once ?? false, until: parseTime(values.until) };
    return write(await addToken(opened, { name, names: values.names, block: values.block, ...wanted }));
  },
};

const optionsOf: Record<string, string[]> = {
  add: ['names', 'block', 'until', 'once'],
  list: ['json'],
  revoke: [],
};

function refuseForeign(act: string, values: Record<string, unknown>): void {
  const foreign = Object.keys(values).find(option => !optionsOf[act]?.includes(option));
  if (foreign !== undefined) throw new UsageError(`token ${act} takes no --${foreign}`);
}

function splitName(act: string, [name, ...files]: string[]): [string, string[]] {
  if (name === undefined || files.length === 0)
    throw new UsageError(`give a name and a file: quarry token ${act} web1 main.ini`);
  if (/^[\w.-]{1,64}$/.test(name)) return [name, files];
  throw new UsageError('the NAME of a token has 1 to 64 letters, digits, dots, hyphens and underscores');
}

type Tokens = Pick<FleetWithSecret, 'store' | 'clock' | 'config'> & { seals: Seals; tokens: TokenList };

type Wanted = {
  name: string;
  names: string | undefined;
  block: string | undefined;
  once: boolean;
  until: number | undefined;
};

async function addToken({ store, clock, seals, tokens, config }: Tokens, wanted: Wanted): Promise<string> {
  const { name, once, until } = wanted;
  const names = readNames(wanted.names);
  const block = chooseBlock(config, wanted.block);
  if (until !== undefined && until <= clock.now()) throw new UsageError('--until is over already');
  const such = [once ? 'once' : '', until === undefined ? '' : `until ${new Date(until).toISOString()}`];
  const detail = ['token add', name, ...such.filter(Boolean)].join(' ');
  await noteOperator({ store, clock }, detail, { names, block });
  const token = await tokens.add({ name, block, names, once, ...(until !== undefined && { until }) });
  if (token === undefined) throw new Error(`there is a token ${name} already: quarry token revoke ${name}`);
  const binding = describeBinding(config, seals, token);
  return `The token ${name} of the auth block "${block}". Quarry keeps its hash alone, so note it now:\n${token}\n${binding}${warnOfNames(config, block, names)}`;
}

/** A token never adds names: one that is misspelt would be found out by its host alone. */
function warnOfNames({ auth }: Config, block: string, names: string[]): string {
  const globs = auth.find(({ name }) => name === block)?.domains.map(toDomainGlob) ?? [];
  const plain = names.filter(name => !/[*?[]/.test(name) && findCidrFault(name) !== undefined);
  const missing = plain.filter(name => !globs.some(matches => matches(name.toLowerCase())));
  if (missing.length === 0) return '';
  return `warning: [auth "${block}"] does not have ${missing.join(', ')}: no host gets that by this token\n`;
}

/** How an ACME client uses the token, where there is a server for it. */
function describeBinding({ acme: { url } }: Config, seals: Seals, token: string): string {
  if (url === undefined) return '';
  const digest = tokenDigest(token);
  const lines = [
    `An ACME client of ${openUrls(url).directory} takes in its place`,
    `EAB key id: ${digest}`,
    `EAB key:    ${tokenBindingKey(seals, digest).toString('base64url')}`,
  ];
  return `${lines.join('\n')}\n`;
}

/** @throws UsageError */
function readNames(text: string | undefined): string[] {
  const names = (text ?? '').split(',').map(name => name.trim());
  if (names.every(name => /^[^\s/]+(\/\d{1,3})?$/.test(name))) return names;
  throw new UsageError(
    "--names takes globs of names, or CIDRs, joined by commas: --names 'web1.example.org'",
  );
}

/** @throws UsageError */
function chooseBlock({ auth }: Config, named: string | undefined): string {
  const takers = auth.filter(({ token }) => token).map(({ name }) => name);
  const [only, ...others] = takers;
  if (only === undefined) throw new UsageError('no auth block takes tokens: write token = yes into one');
  if (named !== undefined && takers.includes(named)) return named;
  if (named === undefined && others.length === 0) return only;
  throw new UsageError(`--block is one of ${takers.join(', ')}`);
}

async function revokeToken({ store, clock, tokens }: Tokens, name: string): Promise<string> {
  await noteOperator({ store, clock }, `token revoke ${name}`);
  if (await tokens.revoke(name)) return `revoked: ${name}\n`;
  throw new Error(`there is no token ${name} in use; quarry token list has those that are`);
}

async function listTokens({ clock, tokens, config }: Tokens, asJson: boolean): Promise<string> {
  const all = await tokens.list();
  if (asJson) return all.map(token => `${JSON.stringify(token)}\n`).join('');
  const toLines = (token: ListedToken) => [
    ...toText(token, clock.now()),
    ...(config.acme.url === undefined ? [] : [`    EAB key id ${token.keyId}`]),
  ];
  return all.length > 0 ? `${all.flatMap(toLines).join('\n')}\n` : 'there are no tokens\n';
}

function toText(token: ListedToken, now: number): string[] {
  const { name, block, names, once } = token;
  const uses = once ? 'once' : 'any number of times';
  return [`${name}  ${uses}, ${stateOf(token, now)}`, `    ${block}: ${names.join(', ')}`];
}

function stateOf({ revoked, until, use }: ListedToken, now: number): string {
  const at = (time: number) => new Date(time).toISOString();
  if (revoked !== undefined) return `revoked at ${at(revoked)}`;
  if (until !== undefined && until <= now) return `ended at ${at(until)}`;
  if (use) return `used at ${at(use.at)} by job ${use.job}`;
  return until === undefined ? 'without an end' : `until ${at(until)}`;
}
