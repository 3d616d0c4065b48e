import { readOptions, UsageError } from './command.ts';

/**
 * The grammar of a command, written as its help shows it: `order create TYPE|VALUE…`. Words in lower case
 * stand for themselves (`key|keys`: either), words in upper case for a value, `…` for one or more, brackets
 * for what may be missing; options stand in brackets (`[--json]`, `[--contact X]…`).
 */
export type Form = { words: FormWord[]; options: FormOption[] };

export type FormWord =
  | { is: 'literal'; spellings: string[] }
  | { is: 'value'; name: string; many: boolean; optional: boolean };

/** `value`: what it takes, as the help calls it. */
export type FormOption = { name: string; value?: string; many: boolean };

/** What was given for a form. */
export type Given = {
  /** @throws UsageError where there is none */
  one(name: string): string;
  many(name: string): string[];
  option(name: string): string | undefined;
  options(name: string): string[];
};

export function parseForm(text: string): Form {
  const parts = text.match(/\[[^\]]*\]…?|\S+/g) ?? [];
  const options = parts.filter(part => part.startsWith('[--')).map(toOption);
  const words = parts.filter(part => !part.startsWith('[--')).map(toWord);
  return { words, options };
}

function toOption(part: string): FormOption {
  const [, name = '', value] = /^\[--([\w-]+)(?: ([^\]]+))?\]/.exec(part) ?? [];
  return { name, ...(value !== undefined && { value }), many: part.endsWith('…') };
}

function toWord(part: string): FormWord {
  const optional = part.startsWith('[');
  const many = /…\]?$/.test(part);
  const name = part.replace(/^\[|\]$/g, '').replace(/…$/, '');
  if (/^[a-z]/.test(name)) return { is: 'literal', spellings: name.split('|') };
  return { is: 'value', name, many, optional };
}

/**
 * Finds the form that the words of a command line have.
 *
 * @param prefix what stands before the words, for messages: `quarry acme`
 * @returns the index of the form in `texts`, and what was given for it
 * @throws UsageError with the usage of the form that comes nearest
 */
export function readForm(prefix: string, texts: string[], words: string[]): { index: number; given: Given } {
  const forms = texts.map(parseForm);
  const { values, positionals } = readOptions(words, toConfigs(forms));
  const index = forms.findIndex(form => isComplete(form, positionals));
  const form = forms[index];
  if (!form) throw new UsageError(describeNearest(prefix, texts, forms, positionals));
  const foreign = Object.keys(values).find(name => !form.options.some(option => option.name === name));
  if (foreign) throw new UsageError(`no --${foreign} here; usage: ${prefix} ${texts[index]}`);
  return { index, given: toGiven(form, positionals, values) };
}

/** How many of the form's words are met by those given; a literal is met by one of its spellings alone. */
export function countMet({ words }: Form, given: string[]): number {
  const unmet = words.findIndex((word, at) => {
    const one = given[at];
    return one === undefined || (word.is === 'literal' && !word.spellings.includes(one));
  });
  return unmet < 0 ? words.length : unmet;
}

function isComplete(form: Form, given: string[]): boolean {
  const met = countMet(form, given);
  const missing = form.words.slice(met);
  if (missing.some(word => word.is === 'literal' || !word.optional)) return false;
  const last = form.words.at(-1);
  return given.length === met || (met === form.words.length && last?.is === 'value' && last.many);
}

function toConfigs(forms: Form[]) {
  const options = forms.flatMap(form => form.options);
  return Object.fromEntries(
    options.map(({ name, value, many }) => [
      name,
      { type: value === undefined ? ('boolean' as const) : ('string' as const), multiple: many },
    ]),
  );
}

function describeNearest(prefix: string, texts: string[], forms: Form[], given: string[]): string {
  const met = forms.map(form => countMet(form, given));
  const most = Math.max(...met);
  const nearest = texts.filter((_, index) => met[index] === most && most > 0);
  if (nearest.length === 1) return `usage: ${prefix} ${nearest[0]}`;
  const unmet = given[most];
  return `${unmet === undefined ? 'more words are needed' : `${JSON.stringify(unmet)} is not known here`}; see ${prefix} --help`;
}

function toGiven({ words }: Form, given: string[], values: Record<string, unknown>): Given {
  const at = (name: string) => words.findIndex(word => word.is === 'value' && word.name === name);
  const options = (name: string) => [values[name] ?? []].flat().map(String);
  return {
    one(name) {
      const value = given[at(name)];
      if (value === undefined) throw new UsageError(`${name} is missing`);
      return value;
    },
    many: name => given.slice(at(name)),
    option: name => options(name)[0],
    options,
  };
}
