#!/usr/bin/env node
import { once } from 'node:events';
import { runCommand } from './run-command.ts';

async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

function complain(line: string): void {
  process.stderr.on('error', () => {}); // nobody is there to hear it
  process.stderr.write(line);
}

process.exitCode = await runCommand(process.argv.slice(2), { env: process.env, write }, complain);
