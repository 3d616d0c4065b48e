import type { IniSection } from '../../../shared/config/ini.ts';
import type { Option, Section } from './main-ini.ts';

// A file that is there already: what of it stays when the questions are answered again. Hosts use its keys,
// its account is known to the CA, and much may stand in it that nobody is asked for.

/** What the answers decide on; all other options of a section stay as they are. */
const decided: Record<string, string[]> = {
  account: ['acme-server', 'accept-terms-of-service', 'contact'],
  mgmt: ['listener', 'mgmt', 'default-verification', 'default-storage'],
  storage: ['type'],
};

/** Of an account at another CA. */
const ofOneCa = ['ca-file', 'eab-kid', 'eab-hmac-key', 'eab-hmac-key-file'];

/** Blocks by which `quarry init` admits clients, without anything that one of them would keep. */
const passing = ['this-machine', 'network'];

/**
 * The new sections with what has to stay of the old ones: whole sections, options, and the keys of auth
 * blocks, which only get more names. The order stays too, as the first block that admits a client counts.
 */
export function keepOld(old: readonly IniSection[], made: readonly Section[]): Section[] {
  const merged = old.flatMap(before => {
    const section = made.find(one => isSame(one, before));
    if (section) return [mergeSection(before, section)];
    return stays(before, [...made, ...old]) ? [toSection(before)] : [];
  });
  return [...merged, ...made.filter(section => !old.some(before => isSame(section, before)))];
}

type Heading = Pick<Section, 'name' | 'label'>;

const isSame = (one: Heading, other: Heading) => one.name === other.name && labelOf(one) === labelOf(other);

/** The account without a name is called so. */
const labelOf = ({ name, label }: Heading) => (name === 'account' ? (label ?? 'default') : label);

const toSection = ({ name, label, options }: IniSection): Section => ({
  name,
  ...(label !== undefined && { label }),
  options: options.map(({ key, value }) => ({ key, value })),
});

/** A way of proving that no block names any more would only hold its ports. */
function stays({ name, label = '' }: IniSection, all: readonly (IniSection | Section)[]): boolean {
  if (name === 'auth') return !passing.includes(label);
  if (name !== 'verification') return true;
  const named = all.flatMap(({ options }) => options.filter(({ key }) => key === 'verification'));
  return named.some(({ value }) => value.split(',').some(one => one.trim() === label));
}

function mergeSection(before: IniSection, made: Section): Section {
  if (made.name === 'auth') return mergeAuth(before, made);
  const keys = new Set([...decidedOf(before, made), ...(made.name === 'verification' ? keysOf(made) : [])]);
  const own = made.options.filter(({ key }) => keys.has(key) || !readOption(before, key));
  return { ...made, options: [...own, ...toSection(before).options.filter(({ key }) => !keys.has(key))] };
}

const keysOf = ({ options }: Section) => options.map(({ key }) => key);

const readOption = ({ options }: Pick<IniSection, 'options'> | Section, wanted: string) =>
  options.find(({ key }) => key === wanted)?.value;

function decidedOf(before: IniSection, made: Section): string[] {
  if (made.name !== 'account') return decided[made.name] ?? [];
  const isOther = readOption(before, 'acme-server') !== readOption(made, 'acme-server');
  return [...(decided.account ?? []), ...(isOther ? ofOneCa : ofOneCa.filter(key => readOption(made, key)))];
}

/** Who is known by a key or a token stays so. */
function mergeAuth(before: IniSection, made: Section): Section {
  if (passing.includes(before.label ?? '')) return made;
  const { options } = toSection(before);
  const isThere = ({ key, value }: Option) =>
    options.some(option => option.key === key && option.value === value);
  return {
    ...made,
    options: [...options, ...made.options.filter(option => option.key === 'domain' && !isThere(option))],
  };
}
