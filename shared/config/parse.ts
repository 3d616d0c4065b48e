/** Ends the reading of an option: throws a ConfigError that names its place. */
export type Fail = (reason: string) => never;

/** Text → data. The reason given to `fail` is a phrase for people and never repeats a secret. */
export type Parse<T> = (text: string, fail: Fail) => T;
