import { DEFAULT_ACCOUNT } from '../ca/account-section.ts';
import { toFlag } from '../config/option-values.ts';
import type { Parse } from '../config/section-reader.ts';

type Block = { name: string; type: string };

/** Finds the block that a name stands for which no file defines; `undefined` where there is none. */
type FindUnwritten = (name: string) => string | undefined;

/** The value of an option that names a block which some file defines, or one that goes without saying. */
export function referenceTo(
  blocks: ReadonlyMap<string, unknown>,
  kind: string,
  findUnwritten: FindUnwritten = () => undefined,
): Parse<string> {
  const defined = [...blocks.keys()].map(name => `"${name}"`).join(', ');
  return (text, fail) => {
    if (text === '') return fail(`names no ${kind} block`);
    if (blocks.has(text)) return text;
    const unwritten = findUnwritten(text);
    if (unwritten !== undefined) return unwritten;
    return fail(`no [${kind} "${text}"] is defined; ${defined ? `defined: ${defined}` : 'none is'}`);
  };
}

/**
 * As `referenceTo`, or false where an empty value or `no` disables the default. A block of that name goes
 * first.
 */
export function defaultReferenceTo(
  blocks: ReadonlyMap<string, unknown>,
  kind: string,
  findUnwritten?: FindUnwritten,
): Parse<string | false> {
  const parse = referenceTo(blocks, kind, findUnwritten);
  return (text, fail) => (!blocks.has(text) && toFlag(text) === false ? false : parse(text, fail));
}

/**
 * The name of the block that serves where an auth block names none: the one that [mgmt] names, else the only
 * one defined, else the implicit one, which is added to the blocks.
 */
export function chooseDefault<T extends Block>(
  named: string | undefined,
  blocks: Map<string, T>,
  implicit: T,
): string {
  if (named !== undefined) return named;
  const [only, another] = blocks.keys();
  if (only !== undefined && another === undefined) return only;
  return addImplicit(blocks, implicit);
}

/** The account that serves where [mgmt] names none: the one named `default`, else the only one, else none. */
export function chooseDefaultAccount(accounts: ReadonlyMap<string, unknown>): string[] {
  if (accounts.has(DEFAULT_ACCOUNT)) return [DEFAULT_ACCOUNT];
  return accounts.size === 1 ? [...accounts.keys()] : [];
}

/**
 * Adds the block unless one of its name and type is there. Where its name is taken by one of another type, it
 * gets another.
 *
 * @returns its name
 */
export function addImplicit<T extends Block>(blocks: Map<string, T>, implicit: T): string {
  const there = blocks.get(implicit.name);
  if (there !== undefined && there.type !== implicit.type)
    return addImplicit(blocks, { ...implicit, name: `implicit ${implicit.name}` });
  if (there === undefined) blocks.set(implicit.name, implicit);
  return implicit.name;
}
