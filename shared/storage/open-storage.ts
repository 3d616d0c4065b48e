import type { Clock, Log } from '../base/basics.ts';
import type { Store } from '../base/redis.ts';
import { openFileStorage } from './file.ts';
import { openNoStorage } from './none.ts';
import { openRedisStorage } from './redis.ts';
import type { Storage } from './storage.ts';
import type { StorageConfig } from './storage-section.ts';

/** Opens every configured storage, by name. */
export function openStorages(
  configs: Iterable<StorageConfig>,
  parts: { store: Store; clock: Clock; log: Log },
): Map<string, Storage> {
  return new Map([...configs].map(config => [config.name, openStorage(config, parts)]));
}

function openStorage(
  config: StorageConfig,
  { store, ...parts }: { store: Store; clock: Clock; log: Log },
): Storage {
  switch (config.type) {
    case 'none':
      return openNoStorage(config.name);
    case 'file':
      return openFileStorage(config, parts);
    case 'redis':
      return openRedisStorage(config, { store, ...parts });
  }
}
