import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Finds a program, as a shell does. @param path as the environment has it */
export function findProgram(name: string, path: string): string | undefined {
  return path
    .split(delimiter)
    .map(folder => join(folder, name))
    .find(file => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
