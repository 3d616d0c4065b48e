import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The folders of PATH. */
export const pathFolders = (): string[] =>
  (process.env.PATH ?? '').split(delimiter).filter(folder => folder !== '');

/** The path of a program in one of the folders (PATH's by default), if there is one. */
export function findCommand(name: string, folders = pathFolders()): string | undefined {
  return folders.map(folder => join(folder, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
