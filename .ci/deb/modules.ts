import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

// The modules that Quarry needs to run, as package-lock.json has them.

export type Module = {
  /** Such as `node_modules/koa`. */
  path: string;
  version: string;
  /** As its manifest has it, in SPDX's words. */
  license: string;
};

type Entry = { version: string; license?: string; dev?: true; optional?: true; devOptional?: true };

/** Optional ones are Node itself, and native speed-ups that nothing relies on. */
export function readModules(root: string): Module[] {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries<Entry>(lock.packages)
    .filter(([path, { dev, optional, devOptional }]) => path !== '' && !dev && !optional && !devOptional)
    .map(([path, { version, license = 'unknown' }]) => ({ path, version, license }));
}

const licenseName = /^(licen[cs]e|copying|notice)/i;

/** The texts of its licence, if it brings any. */
export function readLicenses(root: string, { path }: Module): string[] {
  const names = readdirSync(join(root, path)).filter(name => licenseName.test(name));
  return names.map(name => readFileSync(join(root, path, name), 'utf8'));
}

/** Whether a file of a module can ever be loaded: not what compilers, editors, readers and tests want. */
export function isLoaded(path: string): boolean {
  if (/(^|\/)(tests?|docs?|examples?|bench(marks?)?|__tests__|\.\w[^/]*)\//.test(path)) return false;
  return /\.(js|cjs|mjs|json|wasm|node)$/.test(path);
}

/** What Node may be led to by a manifest, such as `./dist/index.js`. */
export function readEntries(manifest: unknown): string[] {
  const texts: string[] = [];
  JSON.stringify(manifest, (_, value) => {
    if (typeof value === 'string' && /^[^*:\s]+\.(js|cjs|mjs|json|wasm|node)$/.test(value)) texts.push(value);
    return value;
  });
  return texts;
}
