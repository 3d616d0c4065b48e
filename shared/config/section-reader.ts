import { dirname, resolve } from 'node:path';
import { describeError } from '../base/errors.ts';
import { ConfigError, describeAt, type Place } from './config-error.ts';
import { guess } from './guess.ts';
import type { Hidden } from './hidden.ts';
import type { IniOption, IniSection } from './ini.ts';
import type { Fail, Parse } from './parse.ts';
import type { Reading } from './reading.ts';
import { readSecretFile, type Secret } from './secret-file.ts';
import { substitute } from './substitute.ts';

export type { Fail, Parse } from './parse.ts';

/** What a ` # …` behind a value is: part of it as macen reads it, or a comment that is dropped. */
type TrailingComment = 'kept' | 'dropped';

const trailingComment = /\s+[#;].*$/;

/** How a secret is read where it is not one line in a file that is named from where Quarry was started. */
type SecretReading<T> = {
  /** Whether a value is one, where not each is. */
  isSecret?: (value: T) => boolean;
  /** Where the path of its file starts. */
  folder?: string;
  /** Of its file. */
  lines?: 'any';
};

/** `file`: where it was, if it was in one. */
type ReadSecret<T> = { value: T; file?: string };

/**
 * Hands out the options of one section, typed. It remembers which were asked for, so that `finish()` can
 * refuse the rest: an option that no parser reads is a typo, and a typo must not open or close anything
 * silently.
 */
export class SectionReader {
  readonly #section: IniSection;
  readonly #reading: Reading;
  readonly #known = new Set<string>();
  /** What came into this section. */
  readonly #hidden: Hidden[] = [];

  constructor(section: IniSection, reading: Reading) {
    this.#section = section;
    this.#reading = reading;
  }

  /** The name of a labelled section, '' for the others. */
  get label(): string {
    return this.#section.label ?? '';
  }

  /**
   * The folder of the file that holds the section: what is written as a relative path may start there.
   * Absolute.
   */
  get folder(): string {
    return dirname(resolve(this.#section.file));
  }

  get firstKey(): string | undefined {
    return this.#section.options[0]?.key;
  }

  /** The value of an option that may be given once; undefined when it is absent. */
  one<T>(key: string, parse: Parse<T>): T | undefined {
    const first = this.#onlyOne(this.#find(key));
    return first && this.#parse(first, parse, 'kept');
  }

  /** All values of a repeatable option, in their order; empty when it is absent. */
  many<T>(key: string, parse: Parse<T>, comment: TrailingComment = 'kept'): T[] {
    return this.#find(key).map(option => this.#parse(option, parse, comment));
  }

  /**
   * An option that holds a secret, so that its value may be in a file instead, which an option of its own
   * names: `KEY-file`, or `KEY_file` as macen would write it. What is in the file is read as if it stood
   * here. A secret is asked for in this way alone.
   */
  secret<T>(key: string, parse: Parse<T>, how?: SecretReading<T>): T | undefined {
    return this.#oneSecret(key, parse, how)?.value;
  }

  /** The same of a repeatable option: those in files stand where they are named among the others. */
  secrets<T>(key: string, parse: Parse<T>): T[] {
    return this.#find(key, fileKeyOf(key)).map(option => this.#readSecret(option, key, parse).value);
  }

  /** A secret of which the file is read later, and now only to see that it can be. */
  secretOrFile(key: string, parse: Parse<string>): Secret | undefined {
    const found = this.#oneSecret(key, parse);
    if (found === undefined) return undefined;
    return found.file === undefined ? { text: found.value } : { file: found.file };
  }

  /** The same of a secret that need not be where the configuration is read, as it is another machine's. */
  secretOrLaterFile(key: string, parse: Parse<string>, fileKey = fileKeyOf(key)): Secret | undefined {
    const option = this.#onlyOne(this.#find(key, fileKey));
    if (option === undefined) return undefined;
    if (option.key === key) return { text: this.#readSecret(option, key, parse).value };
    const file = this.#parse(option, (path, fail) => path || fail('is empty'), 'kept');
    this.#reading.secretFiles.push({ file, place: this.place(option.key, option) });
    return { file };
  }

  /** @throws ConfigError when the section holds an option that was never asked for */
  finish(): void {
    const unknown = this.#section.options.find(option => !this.#known.has(option.key));
    if (!unknown) return;
    throw new ConfigError(
      this.place(unknown.key, unknown),
      `unknown option${guess(unknown.key, [...this.#known], 'known here')}`,
    );
  }

  /**
   * Refuses the section, or one of its options. An option that is absent is reported at the section's
   * heading.
   */
  fail(reason: string, key?: string): never {
    throw new ConfigError(this.place(key), reason);
  }

  warn(reason: string, key?: string): void {
    this.#reading.warnings.push(describeAt(this.place(key), reason));
  }

  #find(...keys: string[]): IniOption[] {
    for (const key of keys) this.#known.add(key);
    return this.#section.options.filter(option => keys.includes(option.key));
  }

  #onlyOne([first, second]: IniOption[]): IniOption | undefined {
    if (first === undefined || second === undefined) return first;
    const at = `${first.file}:${first.line}`;
    const reason = first.key === second.key ? `is given twice, first at ${at}` : `has ${first.key} beside it`;
    throw new ConfigError(this.place(second.key, second), reason);
  }

  #oneSecret<T>(key: string, parse: Parse<T>, how?: SecretReading<T>): ReadSecret<T> | undefined {
    const option = this.#onlyOne(this.#find(key, fileKeyOf(key)));
    return option && this.#readSecret(option, key, parse, how);
  }

  #readSecret<T>(
    option: IniOption,
    key: string,
    parse: Parse<T>,
    { isSecret = () => true, ...how }: SecretReading<T> = {},
  ): ReadSecret<T> {
    const place = this.place(option.key, option);
    if (option.key !== key) {
      const read = this.#parse(option, (path, fail) => this.#readFile(path, parse, how, fail), 'kept');
      this.#reading.secretFiles.push({ file: read.file, place });
      return read;
    }
    const before = this.#hidden.length;
    const value = this.#parse(option, parse, 'kept');
    const isWritten = this.#hidden.length === before;
    if (isWritten && isSecret(value)) this.#reading.secretFiles.push({ file: option.file, place });
    return { value };
  }

  #readFile<T>(
    path: string,
    parse: Parse<T>,
    { folder = '', lines }: SecretReading<T>,
    fail: Fail,
  ): { value: T; file: string } {
    if (path === '') return fail('is empty');
    const file = folder === '' ? path : resolve(folder, path);
    const text = readOr(
      () => readSecretFile(file, lines),
      reason => fail(`${file} ${reason}`),
    );
    this.#reading.hidden.push({ written: `what is in ${file}`, value: text });
    return { value: parse(text, reason => fail(`${file}: ${reason}`)), file };
  }

  #hide(hidden: readonly Hidden[]): void {
    this.#hidden.push(...hidden);
    this.#reading.hidden.push(...hidden);
  }

  /** For what can be refused only later. Of a secret, the option that was given. */
  place(key?: string, option = this.#given(key)): Place {
    const { file, line } = option ?? this.#section;
    const hidden = this.#hidden.length > 0 && { hidden: this.#hidden };
    const { name, label } = this.#section;
    return { file, line, section: { name, label }, option: option?.key ?? key, ...hidden };
  }

  #given(key: string | undefined): IniOption | undefined {
    if (key === undefined) return undefined;
    const keys = [key, fileKeyOf(key)].filter(one => this.#known.has(one));
    return this.#section.options.find(option => keys.includes(option.key));
  }

  #parse<T>(option: IniOption, parse: Parse<T>, comment: TrailingComment): T {
    const suspicious = trailingComment.test(option.value);
    const hint = suspicious ? ' (a comment needs a line of its own)' : '';
    const fail: Fail = reason => {
      throw new ConfigError(this.place(option.key, option), reason + hint);
    };
    const written = comment === 'dropped' ? option.value.replace(trailingComment, '') : option.value;
    const { text, hidden } = readOr(() => substitute(written, this.#reading.env), fail);
    this.#hide(hidden);
    const value = parse(text, fail);
    if (suspicious) {
      const what =
        comment === 'dropped'
          ? 'what follows the # or ; is ignored'
          : 'the # or ; is read as part of the value';
      this.#reading.warnings.push(
        describeAt(this.place(option.key, option), `${what}; a comment needs a line of its own`),
      );
    }
    return value;
  }
}

/** As the option itself is written: macen has `_` where Quarry has `-`. */
export const fileKeyOf = (key: string) => (key.includes('_') ? `${key}_file` : `${key}-file`);

function readOr<T>(read: () => T, fail: Fail): T {
  try {
    return read();
  } catch (error) {
    return fail(describeError(error));
  }
}
