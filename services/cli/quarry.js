#!/usr/bin/env node
import module from 'node:module';
import { join } from 'node:path';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 5)) {
  process.stderr.write(
    `quarry: Node 24.5 or newer is needed, and this is ${process.versions.node}; install a newer one, or let npm bring it along (npm install without --omit=optional; in a checkout npx quarry)\n`,
  );
  process.exit(1);
}
// Code that was compiled before halves what a start costs; where it cannot be kept, it is compiled again. It is kept in
// the user's own folder: in /tmp, Node's default, another user could leave code for us to run.
const { XDG_CACHE_HOME, HOME } = process.env;
const caches = XDG_CACHE_HOME || (HOME && join(HOME, '.cache'));
if (caches) module.enableCompileCache(join(caches, 'quarry/compiled'));

// Storages that do not answer hold threads: these are enough for several of them, and for all else. Node makes them at
// the first use, and takes no other number later.
process.env.UV_THREADPOOL_SIZE ??= '16';

// A checkout runs the TypeScript as it is. Node refuses to under node_modules, where the package carries it compiled.
const packed = import.meta.url.includes('/node_modules/');
await import(packed ? '../../dist/services/cli/main.js' : './main.ts');
