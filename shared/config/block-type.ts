import type { SectionReader } from './section-reader.ts';

/**
 * The `type` of a verification or storage block. It has to be the first option, as in macen, for it decides
 * which others there are.
 */
export function readBlockType<T extends string>(section: SectionReader, types: readonly T[]): T {
  const known = `known: ${types.join(', ')}`;
  const type = section.one(
    'type',
    (text, fail) => types.find(one => one === text) ?? fail(`unknown type; ${known}`),
  );
  if (type === undefined) return section.fail(`is missing; ${known}`, 'type');
  if (section.firstKey !== 'type') section.fail('must be the first option of its section', 'type');
  return type;
}
