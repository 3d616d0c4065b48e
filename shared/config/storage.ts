import { readBlockType } from './block-type.ts';
import { parseText, wholeNumber } from './option-values.ts';
import type { SectionReader } from './section-reader.ts';

/** Where issued certificates are kept for the next post of the same CSR. `renewWithin` is in days. */
export type StorageConfig =
  | { name: string; type: 'none' }
  | { name: string; type: 'file'; directory: string; renewWithin: number }
  | { name: string; type: 'redis'; renewWithin: number };

/** Stands in where no storage is defined, or where the default is disabled. */
export const implicitStorage: StorageConfig = { name: 'none', type: 'none' };

const types = ['none', 'file', 'redis'] as const;

/** `[storage "name"]` */
export function parseStorage(section: SectionReader): StorageConfig {
  const name = section.label;
  const type = readBlockType(section, types, implicitStorage);
  switch (type) {
    case 'none':
      section.finish();
      return { name, type };
    case 'file': {
      const directory = section.one('directory', parseText);
      const renewWithin = readRenewWithin(section);
      section.finish();
      if (directory === undefined) return section.fail('is missing; type file needs it', 'directory');
      return { name, type, directory, renewWithin };
    }
    case 'redis': {
      const renewWithin = readRenewWithin(section);
      section.finish();
      return { name, type, renewWithin };
    }
  }
}

const readRenewWithin = (section: SectionReader) => section.one('renew-within', wholeNumber(0, 3650)) ?? 14;
