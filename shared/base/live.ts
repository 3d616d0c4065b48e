import { isDeepStrictEqual } from 'node:util';

// What is built from the configuration, and exchanged while it is used.

/**
 * What is made of the configuration of the moment: who begins something takes it once. A plain field, as what
 * is asked for each request is not to cost a call.
 */
export type Live<Part> = { current: Part };

/** What a role makes of the configuration once Redis has answered, which a reload does not wait for. */
export type LivePart<Config, Part> = {
  /**
   * Builds the part, by the configuration of the moment.
   *
   * @param taken called with each later part, once it is taken over
   */
  begin(
    configure: (config: Config) => Part | Promise<Part>,
    taken?: (part: Part, config: Config) => void,
  ): Promise<Live<Part>>;
  /** As `Role.prepare`. */
  prepare(config: Config): Promise<() => void>;
};

export function openLivePart<Config, Part>(first: Config): LivePart<Config, Part> {
  let wanted = first;
  /** Once it is built. */
  let begun: { build(config: Config): Promise<() => void> } | undefined;

  async function begin(
    configure: (config: Config) => Part | Promise<Part>,
    taken: (part: Part, config: Config) => void = () => {},
  ): Promise<Live<Part>> {
    let built = wanted;
    let part = await configure(built);
    while (built !== wanted) {
      built = wanted;
      part = await configure(built);
    }
    const live = { current: part };
    begun = {
      async build(config) {
        const next = await configure(config);
        return () => {
          live.current = next;
          taken(next, config);
        };
      },
    };
    return live;
  }

  return {
    begin,
    async prepare(next) {
      const take = await begun?.build(next);
      return () => {
        wanted = next;
        if (take) return take();
        // It was built in between, of the configuration before.
        void begun?.build(next).then(takeLate => wanted === next && takeLate());
      };
    },
  };
}

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
