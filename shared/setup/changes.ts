import { isDeepStrictEqual } from 'node:util';
import { type AccountConfig, labelOf } from '../ca/account-section.ts';
import { ConfigError, describeSection, type Place } from '../config/config-error.ts';
import { formatListener, type Listener } from '../config/listener.ts';
import type { VerificationConfig } from '../solver/kinds.ts';
import type { Config } from './load-config.ts';
import { optionsOf, type Placing } from './options.ts';

/** Each as `[section "name"] option`, or the section alone where it came or went; never a value. */
type Changes = {
  taken: string[];
  /** These keep their old value. */
  needsRestart: string[];
};

/**
 * What a process that runs with one configuration can take over of another, and what only its next start can.
 *
 * @param before what is in force
 * @returns besides the changes what is in force after them; the next configuration is compared with that, so
 *   that what needs a restart is told until there was one
 * @throws ConfigError where a section orders from an account, or proves names on listeners, that only a
 *   restart could open
 */
export function compareConfigs(before: Config, after: Config): Changes & { inForce: Config } {
  const changes = new FoundChanges();
  const { secretFile, ...mgmt } = changes.ofOptions(
    { name: 'mgmt' },
    optionsOf.mgmt,
    { ...before.mgmt, secretFile: before.secretFile },
    { ...after.mgmt, secretFile: after.secretFile },
  );
  const single = <T extends object>(name: SectionName, of: (all: Config) => T) =>
    changes.ofOptions({ name }, optionsOf[name], of(before), of(after));
  const list = <T extends { name: string }>(name: SectionName, of: (all: Config) => T[]) => [
    ...changes.ofBlocks(name, byName(of(before)), byName(of(after))).values(),
  ];
  if (areReordered(before.auth, after.auth)) changes.add('taken', { name: 'auth' }, 'order of the blocks');
  const inForce: Config = {
    accounts: compareAccounts(changes, before.accounts, after.accounts),
    mgmt,
    secretFile,
    verifications: compareVerifications(changes, before.verifications, after.verifications),
    storages: changes.ofBlocks('storage', before.storages, after.storages),
    renewals: list('renewal', all => all.renewals),
    auth: list('auth', all => all.auth),
    logging: single('logging', all => all.logging),
    redis: single('redis', all => all.redis),
    worker: single('worker', all => all.worker),
    admin: single('admin', all => all.admin),
    acme: single('acme', all => all.acme),
    trail: single('trail', all => all.trail),
    notify: list('notify', all => all.notify),
    warnings: after.warnings,
    hidden: after.hidden,
    secretFiles: after.secretFiles,
  };
  refuseUnopened(inForce);
  return { taken: changes.list('taken'), needsRestart: changes.list('needsRestart'), inForce };
}

type Section = NonNullable<Place['section']>;
type Placings = Record<string, Placing>;
type SectionName = keyof typeof optionsOf & string;

class FoundChanges {
  readonly #found = { taken: new Set<string>(), needsRestart: new Set<string>() };

  add(change: keyof Changes, section: Section, option?: string): void {
    this.#found[change].add([describeSection(section), option].filter(Boolean).join(' '));
  }

  list(change: keyof Changes): string[] {
    return [...this.#found[change]];
  }

  /** @returns what is in force of a section: of what needs a restart the old value */
  ofOptions<T extends object>(section: Section, placings: Placings, before: T, after: T): T {
    const inForce = { ...after } as Record<string, unknown>;
    for (const [field, placing] of Object.entries(placings)) {
      const [was, is] = [read(before, field), read(after, field)];
      if (placing === 'derived' || isDeepStrictEqual(was, is)) continue;
      for (const option of changedOptions(placing.from, was, is)) this.add(placing.change, section, option);
      if (placing.change === 'taken') continue;
      if (was === undefined) delete inForce[field];
      else inForce[field] = was;
    }
    return inForce as T;
  }

  /** Blocks may come and go. */
  ofBlocks<T extends object>(
    name: SectionName,
    before: ReadonlyMap<string, T>,
    after: ReadonlyMap<string, T>,
  ): Map<string, T> {
    for (const label of namesOfOne(before, after)) this.add('taken', { name, label });
    return new Map(
      [...after].map(([label, is]) => [
        label,
        this.ofOptions({ name, label }, optionsOf[name], before.get(label) ?? is, is),
      ]),
    );
  }
}

/** The names that only one of them has. */
function namesOfOne(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): string[] {
  const gone = [...before.keys()].filter(name => !after.has(name));
  return [...gone, ...[...after.keys()].filter(name => !before.has(name))];
}

const byName = <T extends { name: string }>(blocks: T[]) =>
  new Map(blocks.map(block => [block.name, block] as const));

/** Of a list, the field of each. */
function read(value: unknown, field: string): unknown {
  if (Array.isArray(value)) return value.map(one => read(one, field));
  return (value as Record<string, unknown> | undefined)?.[field];
}

/** Of a field that several options make, those that differ. */
function changedOptions(from: Exclude<Placing, 'derived'>['from'], was: unknown, is: unknown): string[] {
  if (typeof from === 'string') return [from];
  const differing = Object.entries(from).filter(
    ([field]) => !isDeepStrictEqual(read(was, field), read(is, field)),
  );
  return differing.map(([, option]) => option).filter(option => option !== '');
}

/** The first block that admits a client serves it, so their order counts. */
function areReordered(before: Config['auth'], after: Config['auth']): boolean {
  const [was, is] = [byName(before), byName(after)];
  const kept = [...was.keys()].filter(name => is.has(name));
  return !isDeepStrictEqual(
    kept,
    [...is.keys()].filter(name => was.has(name)),
  );
}

/** Accounts are opened when a process starts: what is open stays so. */
function compareAccounts(
  changes: FoundChanges,
  before: Config['accounts'],
  after: Config['accounts'],
): Config['accounts'] {
  for (const name of namesOfOne(before, after))
    changes.add('needsRestart', { name: 'account', label: labelOf(name) });
  return new Map(
    [...before].map(([name, was]) => [name, compareAccount(changes, was, after.get(name) ?? was)]),
  );
}

function compareAccount(changes: FoundChanges, before: AccountConfig, after: AccountConfig): AccountConfig {
  const label = labelOf(before.name);
  const [{ limits: was, ...old }, { limits: is, ...changed }] = [before, after];
  const account = changes.ofOptions({ name: 'account', label }, optionsOf.account, old, changed);
  // The limits of another CA are not those of the one that is asked until the restart.
  if (old.acmeServer !== changed.acmeServer) return { ...account, limits: was };
  return {
    ...account,
    limits: changes.ofOptions({ name: 'limits', label }, optionsOf.limits, was, is),
  };
}

type Answered = Extract<VerificationConfig, { listeners: Listener[] }>;
const isAnswered = (block: VerificationConfig): block is Answered => 'listeners' in block;

/** Listeners too are opened when a process starts: a block that comes has those that are open already. */
function compareVerifications(
  changes: FoundChanges,
  before: Config['verifications'],
  after: Config['verifications'],
): Config['verifications'] {
  const answered = [...before.values()].filter(isAnswered);
  const open = new Set(answered.flatMap(toKeys));
  const inForce: Config['verifications'] = new Map();
  for (const [label, is] of after) {
    const section = { name: 'verification', label };
    const was = before.get(label);
    const isOfThatKind = was?.type === is.type;
    if (!isOfThatKind) changes.add('taken', section, was && 'type');
    const block = isOfThatKind ? changes.ofOptions(section, optionsOf.verification, was, is) : is;
    const listening = !isOfThatKind && isAnswered(block) ? onlyOpen(block, open) : block;
    if (listening !== block) changes.add('needsRestart', section, 'listener');
    inForce.set(label, listening);
  }
  for (const block of before.values()) {
    if (after.has(block.name)) continue;
    const section = { name: 'verification', label: block.name };
    if (isAnswered(block)) changes.add('needsRestart', section, 'listener');
    else changes.add('taken', section);
    if (isAnswered(block)) inForce.set(block.name, block);
  }
  return inForce;
}

const toKeys = ({ challenge, listeners }: Answered) =>
  listeners.map(listener => `${challenge} ${formatListener(listener)}`);

/** The same block where all of its listeners are open. */
function onlyOpen(block: Answered, open: ReadonlySet<string>): Answered {
  if (toKeys(block).every(key => open.has(key))) return block;
  const { challenge, listeners } = block;
  return {
    ...block,
    listeners: listeners.filter(listener => open.has(`${challenge} ${formatListener(listener)}`)),
  };
}

/** Nothing is taken over of a configuration by which orders would need what nobody has opened. */
function refuseUnopened({ accounts, verifications, auth, renewals }: Config): void {
  const isUnopened = (account: string) => !accounts.has(account);
  const isUnanswered = (name: string) => {
    const block = verifications.get(name);
    return block !== undefined && isAnswered(block) && block.listeners.length === 0;
  };
  const refuse = (section: Section, ordering: { accounts: string[]; verifications: string[] }) => {
    const account = ordering.accounts.find(isUnopened);
    if (account !== undefined)
      throw new ConfigError(
        { section, option: 'account' },
        `orders from the new account "${account}", which needs a restart`,
      );
    const verification = ordering.verifications.find(isUnanswered);
    if (verification !== undefined)
      throw new ConfigError(
        { section, option: 'verification' },
        `proves names by "${verification}", whose listeners need a restart`,
      );
  };
  for (const { name, accounts: choices, verifications } of auth)
    refuse({ name: 'auth', label: name }, { accounts: choices.map(({ account }) => account), verifications });
  for (const renewal of renewals) refuse({ name: 'renewal', label: renewal.name }, renewal);
}
