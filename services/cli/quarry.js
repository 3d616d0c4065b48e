#!/usr/bin/env node
// A checkout runs the TypeScript as it is. Node refuses to under node_modules, where the package carries it compiled.
const packed = import.meta.url.includes('/node_modules/');
await import(packed ? '../../dist/services/cli/main.js' : './main.ts');
