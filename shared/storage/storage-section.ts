import { readBlockType } from '../config/block-type.ts';
import { parseFlag, parseText, wholeNumber } from '../config/option-values.ts';
import type { SectionReader } from '../config/section-reader.ts';

/** How long a storage hands a certificate out and keeps it. */
export type KeepingConfig = {
  /** Days before its end from which a certificate is ordered anew. */
  renewWithin: number;
  /** Whether Quarry renews by itself what clients fetch. */
  renewAhead: boolean;
  /** Days that a certificate is kept after its end. */
  keepExpired: number;
};

/** Where issued certificates are kept for the next post of the same CSR. */
export type StorageConfig =
  | { name: string; type: 'none' }
  | ({ name: string; type: 'file'; directory: string } & KeepingConfig)
  | ({ name: string; type: 'redis' } & KeepingConfig);

/** Stands in where no storage is defined, or where the default is disabled. */
export const implicitStorage: StorageConfig = { name: 'none', type: 'none' };

const types = ['none', 'file', 'redis'] as const;

/** `[storage "name"]` */
export function parseStorage(section: SectionReader): StorageConfig {
  const name = section.label;
  const type = readBlockType(section, types);
  switch (type) {
    case 'none':
      section.finish();
      return { name, type };
    case 'file': {
      const directory = section.one('directory', parseText);
      const keeping = readKeeping(section);
      section.finish();
      if (directory === undefined) return section.fail('is missing; type file needs it', 'directory');
      return { name, type, directory, ...keeping };
    }
    case 'redis': {
      const keeping = readKeeping(section);
      section.finish();
      return { name, type, ...keeping };
    }
  }
}

function readKeeping(section: SectionReader): KeepingConfig {
  return {
    renewWithin: section.one('renew-within', wholeNumber(0, 3650)) ?? 14,
    renewAhead: section.one('renew-ahead', parseFlag) ?? false,
    keepExpired: section.one('keep-expired', wholeNumber(0, 36_500)) ?? 30,
  };
}
