import type { Clock, Log } from '../base/basics.ts';
import type { Store } from '../base/redis.ts';
import { openFileStorage } from './file.ts';
import { openRedisStorage } from './redis.ts';
import type { Storage } from './storage.ts';
import type { StorageConfig } from './storage-section.ts';

/**
 * Opens every configured storage, by name, but those that keep nothing: their posts all get a new
 * certificate.
 */
export function openStorages(
  configs: Iterable<StorageConfig>,
  parts: { store: Store; clock: Clock; log: Log },
): Map<string, Storage> {
  const keeping = [...configs].filter(config => config.type !== 'none');
  return new Map(keeping.map(config => [config.name, openStorage(config, parts)]));
}

function openStorage(
  config: Exclude<StorageConfig, { type: 'none' }>,
  { store, ...parts }: { store: Store; clock: Clock; log: Log },
): Storage {
  switch (config.type) {
    case 'file':
      return openFileStorage(config, parts);
    case 'redis':
      return openRedisStorage(config, { store, ...parts });
  }
}
