import { readBlockType } from '../config/block-type.ts';
import { inCode, type OptionRows } from '../config/option-rows.ts';
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

const usual: KeepingConfig = { renewWithin: 14, renewAhead: false, keepExpired: 30 };

/** Of `[storage "name"]`. */
export const storageRows: OptionRows = {
  type: { meaning: `the first option: ${types.map(inCode).join(', ')}`, otherwise: 'needed' },
  directory: {
    meaning:
      'of a `file` storage; [where to put it](services/docs/configuration.md#the-directory-of-a-file-storage)',
    otherwise: 'needed',
  },
  'renew-within': {
    meaning:
      'days; a certificate that expires sooner is ordered anew, but never before half of its life is over',
    otherwise: inCode(usual.renewWithin),
  },
  'renew-ahead': {
    meaning: '`yes`: Quarry [renews by itself](services/docs/renewals.md) what clients fetch',
    otherwise: '`no`',
  },
  'keep-expired': {
    meaning: 'days that a certificate stays in the storage after it has expired',
    otherwise: inCode(usual.keepExpired),
  },
};

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
    renewWithin: section.one('renew-within', wholeNumber(0, 3650)) ?? usual.renewWithin,
    renewAhead: section.one('renew-ahead', parseFlag) ?? usual.renewAhead,
    keepExpired: section.one('keep-expired', wholeNumber(0, 36_500)) ?? usual.keepExpired,
  };
}
