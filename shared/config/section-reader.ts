import { dirname, resolve } from 'node:path';
import { ConfigError, describeAt, type Place } from './config-error.ts';
import type { IniOption, IniSection } from './ini.ts';

/** Ends the reading of an option: throws a ConfigError that names its place. */
export type Fail = (reason: string) => never;

/** Text → data. The reason given to `fail` is a phrase for people and never repeats a secret. */
export type Parse<T> = (text: string, fail: Fail) => T;

/** What a ` # …` behind a value is: part of it as macen reads it, or a comment that is dropped. */
type TrailingComment = 'kept' | 'dropped';

const trailingComment = /\s+[#;].*$/;

/**
 * Hands out the options of one section, typed. It remembers which were asked for, so that `finish()` can
 * refuse the rest: an option that no parser reads is a typo, and a typo must not open or close anything
 * silently.
 */
export class SectionReader {
  readonly #section: IniSection;
  readonly #warnings: string[];
  readonly #known = new Set<string>();

  /** @param warnings where warnings are collected, one line each */
  constructor(section: IniSection, warnings: string[]) {
    this.#section = section;
    this.#warnings = warnings;
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
    const [first, second] = this.#find(key);
    if (first && second) {
      const reason = `is given twice, first at ${first.file}:${first.line}`;
      throw new ConfigError(this.place(key, second), reason);
    }
    return first && this.#parse(first, parse, 'kept');
  }

  /** All values of a repeatable option, in their order; empty when it is absent. */
  many<T>(key: string, parse: Parse<T>, comment: TrailingComment = 'kept'): T[] {
    return this.#find(key).map(option => this.#parse(option, parse, comment));
  }

  /** @throws ConfigError when the section holds an option that was never asked for */
  finish(): void {
    const unknown = this.#section.options.find(option => !this.#known.has(option.key));
    if (!unknown) return;
    throw new ConfigError(
      this.place(unknown.key, unknown),
      `unknown option; known here: ${[...this.#known].join(', ')}`,
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
    this.#warnings.push(describeAt(this.place(key), reason));
  }

  #find(key: string): IniOption[] {
    this.#known.add(key);
    return this.#section.options.filter(option => option.key === key);
  }

  /** For what can be refused only later. */
  place(key?: string, option = this.#section.options.find(one => one.key === key)): Place {
    const { file, line } = option ?? this.#section;
    return { file, line, section: this.#section, option: key };
  }

  #parse<T>(option: IniOption, parse: Parse<T>, comment: TrailingComment): T {
    const place = this.place(option.key, option);
    const suspicious = trailingComment.test(option.value);
    const hint = suspicious ? ' (a comment needs a line of its own)' : '';
    const text = comment === 'dropped' ? option.value.replace(trailingComment, '') : option.value;
    const value = parse(text, reason => {
      throw new ConfigError(place, reason + hint);
    });
    if (suspicious) {
      const what =
        comment === 'dropped'
          ? 'what follows the # or ; is ignored'
          : 'the # or ; is read as part of the value';
      this.#warnings.push(describeAt(place, `${what}; a comment needs a line of its own`));
    }
    return value;
  }
}
