import { parseArgs } from 'node:util';

/** What `npm run bench` is asked for; `names` are what stands on the command line. */
export type Request = { names: string[] } & (
  | { do: 'run'; json: boolean }
  /** Two trees in turn: this one and that of the revision. */
  | { do: 'compare'; against: string }
  /** Measures what the budget holds, and compares. */
  | { do: 'check' }
  /** Measures what the budget holds, or is to hold, and writes it. */
  | { do: 'save' }
  /** Where the CPU time of an order goes; of two trees where there is a revision. */
  | { do: 'profile'; against: string | undefined }
);

export const usage = `npm run bench -- [--json] [NAME…]
npm run bench -- --against REV [NAME…]
npm run bench -- --profile [--against REV] [NAME…]
npm run bench -- --check [NAME…]
npm run bench -- --save-budget [NAME…]`;

/** @throws Error in one line, where the arguments do not belong together */
export function parseRequest(args: readonly string[]): Request {
  const flag = { type: 'boolean', default: false } as const;
  const options = { against: { type: 'string' }, json: flag, check: flag, profile: flag } as const;
  const { values, positionals: names } = parseArgs({
    args: [...args],
    options: { ...options, 'save-budget': flag },
    allowPositionals: true,
  });
  const { against, json, check, profile, 'save-budget': save } = values;
  const chosen = Object.entries({
    '--json': json,
    '--check': check,
    '--save-budget': save,
    '--profile': profile,
  })
    .filter(([, is]) => is)
    .map(([name]) => name);
  if (chosen.length > 1) throw new Error(`${chosen.join(' and ')} do not go together`);
  if (against !== undefined && chosen.some(name => name !== '--profile'))
    throw new Error(`--against and ${chosen[0]} do not go together`);
  if (profile) return { do: 'profile', against, names };
  if (against !== undefined) return { do: 'compare', against, names };
  if (check) return { do: 'check', names };
  return save ? { do: 'save', names } : { do: 'run', json, names };
}

/**
 * Names, or what they begin with; an exact name means that one alone.
 *
 * @param byDefault what no word means; all of them, where it is absent
 * @throws Error in one line, where nothing is meant by a word
 */
export function chooseNames(words: readonly string[], known: readonly string[], byDefault = known): string[] {
  const chosen = words.map(word => {
    const meant = known.includes(word) ? [word] : known.filter(name => name.startsWith(word));
    if (meant.length === 0) throw new Error(`there is no ${word} here; known: ${known.join(', ')}`);
    return meant;
  });
  return words.length === 0 ? [...byDefault] : known.filter(name => chosen.flat().includes(name));
}
