import type { Clock, Log } from '../base/basics.ts';
import type { Store } from '../base/redis.ts';
import { openStoring, type Storing } from '../base/storage-faults.ts';
import { openFileStorage } from './file.ts';
import { openRedisStorage } from './redis.ts';
import type { Storage } from './storage.ts';
import type { StorageConfig } from './storage-section.ts';

/**
 * Opens every configured storage, by name, but those that keep nothing: their posts all get a new
 * certificate.
 *
 * @param parts.storing absent where these are all the storages of the process
 */
export function openStorages(
  configs: Iterable<StorageConfig>,
  parts: { store: Store; clock: Clock; log: Log } & { storing?: Storing | undefined },
): Map<string, Storage> {
  const { storing = openStoring(parts), ...rest } = parts;
  const keeping = [...configs].filter(config => config.type !== 'none');
  return new Map(keeping.map(config => [config.name, openStorage(config, { ...rest, ...storing })]));
}

function openStorage(
  config: Exclude<StorageConfig, { type: 'none' }>,
  { store, ...parts }: { store: Store; clock: Clock; log: Log } & Storing,
): Storage {
  switch (config.type) {
    case 'file':
      return openFileStorage(config, parts);
    case 'redis':
      return openRedisStorage(config, { store, ...parts });
  }
}
