import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { readIfThere, writeAtomically } from '../../../shared/base/atomic-file.ts';
import type { Answers } from './answers.ts';
import type { Owner } from './write-config.ts';

/** The number of the user that the containers run as. */
const CONTAINER_USER = 1000;

/** @throws Error in one line where there is no stack to configure */
export function needCompose(folder: string): void {
  if (existsSync(join(folder, 'compose.yaml'))) return;
  throw new Error(`there is no compose.yaml in ${folder}: go into the folder of Quarry's checkout first`);
}

/** Whose main.ini is to be, so that the containers can read it; only root can give a file away. */
export const findContainerOwner = (): Owner | undefined =>
  process.getuid?.() === 0 ? { uid: CONTAINER_USER, gid: CONTAINER_USER } : undefined;

/** What is left to do where the file is another user's; undefined where the containers can read it. */
export const findUnreadable = (file: string): string | undefined =>
  [0, CONTAINER_USER].includes(process.getuid?.() ?? CONTAINER_USER)
    ? undefined
    : `sudo chown ${CONTAINER_USER} ${file}`;

/** Which files the stack takes, and which ports of this machine lead to it. */
export function toVariables(
  { ca: { caFile }, proof, listeners }: Pick<Answers, 'ca' | 'proof' | 'listeners'>,
  file: string,
  folder: string,
): Record<string, string> {
  const toPath = (path: string) => {
    const inFolder = relative(folder, path);
    return inFolder.startsWith('..') ? path : `./${inFolder}`;
  };
  return {
    QUARRY_CONFIG: toPath(file),
    ...(caFile !== undefined && { QUARRY_CA_FILE: toPath(caFile) }),
    QUARRY_PORT: listeners[0] ?? '1313',
    ...(proof.kind === 'http' && { QUARRY_HTTP_PORT: String(proof.port) }),
  };
}

/** What `.env` says of the ports already, as answers. */
export async function readVariables(folder: string): Promise<{ port?: string; listen?: string }> {
  const text = (await readIfThere(join(folder, '.env'))) ?? '';
  const value = (name: string) => new RegExp(`^${name}=["']?([\\w.:[\\]]+)`, 'm').exec(text)?.[1];
  const [port, listen] = [value('QUARRY_HTTP_PORT'), value('QUARRY_PORT')];
  return { ...(port !== undefined && { port }), ...(listen !== undefined && { listen }) };
}

/** Writes them into `.env` beside compose.yaml, whose other lines stay. */
export async function writeVariables(folder: string, variables: Record<string, string>): Promise<void> {
  const file = join(folder, '.env');
  const before = (await readIfThere(file)) ?? '';
  await writeAtomically(file, mergeVariables(before, variables));
}

function mergeVariables(before: string, variables: Record<string, string>): string {
  const isSet = (line: string) => /^\s*(\w+)\s*=/.exec(line)?.[1] ?? '';
  const others = before.split('\n').filter(line => line !== '' && !(isSet(line) in variables));
  return `${[...others, ...Object.entries(variables).map(([name, value]) => `${name}=${value}`)].join('\n')}\n`;
}
