import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type TempDir = AsyncDisposable & { path: string };

const left = new Set<string>();

process.on('exit', () => {
  for (const path of left) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
});

/**
 * A private folder (mode 0700) that is removed when it is disposed of, or at the latest when the process
 * exits.
 */
export async function tempDir(): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), 'quarry-test-'));
  left.add(path);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true, maxRetries: 3 });
      left.delete(path);
    },
  };
}
