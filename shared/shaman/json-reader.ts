import { ConfigError } from '../config/config-error.ts';
import type { Parse } from '../config/section-reader.ts';

/**
 * Hands out the members of one object of a JSON file, typed. What is wrong ends as a ConfigError of one line with the
 * file's path and the member's, such as `shaman.json: domains."example.org".renewal: …`. Values are never repeated in it.
 */
export class JsonReader {
  readonly #object: Record<string, unknown>;
  readonly #file: string;
  readonly #path: readonly string[];

  constructor(value: unknown, file: string, path: readonly string[] = []) {
    this.#file = file;
    this.#path = path;
    if (!isObject(value)) this.fail('must be an object, { … }');
    this.#object = value;
  }

  get keys(): string[] {
    return Object.keys(this.#object);
  }

  /** The value as it stands; `undefined` where there is none, or null. */
  raw(key: string): unknown {
    return Object.hasOwn(this.#object, key) ? (this.#object[key] ?? undefined) : undefined;
  }

  text(key: string): string | undefined {
    const value = this.raw(key);
    return value === undefined || typeof value === 'string' ? value : this.fail('must be a text, "…"', key);
  }

  /** A text that means something. */
  parsed<T>(key: string, parse: Parse<T>): T | undefined {
    const value = this.text(key);
    return value === undefined ? undefined : parse(value, reason => this.fail(reason, key));
  }

  /** A list of texts, or one alone. */
  many<T>(key: string, parse: Parse<T>): T[] {
    const value = this.raw(key) ?? [];
    const texts: unknown[] = Array.isArray(value) ? value : [value];
    return texts.map(one =>
      typeof one === 'string'
        ? parse(one, reason => this.fail(reason, key))
        : this.fail('must be a list of texts', key),
    );
  }

  number(key: string, least: number): number | undefined {
    const value = this.raw(key);
    if (value === undefined || (typeof value === 'number' && value >= least)) return value;
    return this.fail(`must be a number, ${least} or more`, key);
  }

  object(key: string): JsonReader | undefined {
    const value = this.raw(key);
    return value === undefined ? undefined : new JsonReader(value, this.#file, [...this.#path, key]);
  }

  fail(reason: string, key?: string): never {
    const path = [...this.#path, ...(key === undefined ? [] : [key])].map(toStep).join('.');
    throw new ConfigError({ file: this.#file, option: path }, reason);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const toStep = (key: string) => (/^[\w-]+$/.test(key) ? key : JSON.stringify(key));
