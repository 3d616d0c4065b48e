#!/usr/bin/env node
if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(
    `quarry: Node 24 or newer is needed, and this is ${process.versions.node}; in its own folder npx quarry has one\n`,
  );
  process.exit(1);
}
// A checkout runs the TypeScript as it is. Node refuses to under node_modules, where the package carries it compiled.
const packed = import.meta.url.includes('/node_modules/');
await import(packed ? '../../dist/services/cli/main.js' : './main.ts');
