import { isDeepStrictEqual } from 'node:util';

/**
 * Opens what a configuration names, each time for all of it, and leaves open what has not changed since the
 * last time: it keeps what it has learnt.
 *
 * @param open `undefined` where there is nothing to be opened
 * @returns gives what is open, by name, in the order of the configuration
 */
export function keepUnchanged<Config extends { name: string }, Opened>(
  open: (config: Config) => Opened | undefined,
): (configs: Iterable<Config>) => Map<string, Opened> {
  let known = new Map<string, { config: Config; opened: Opened | undefined }>();
  return configs => {
    const next: typeof known = new Map();
    for (const config of configs) {
      const last = known.get(config.name);
      const isSame = last !== undefined && isDeepStrictEqual(last.config, config);
      next.set(config.name, isSame ? last : { config, opened: open(config) });
    }
    known = next;
    return new Map(
      [...next].flatMap(([name, { opened }]) => (opened === undefined ? [] : [[name, opened] as const])),
    );
  };
}
