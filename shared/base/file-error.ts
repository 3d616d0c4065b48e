import { describeFileError } from './errors.ts';

// The system says ENOSPC, and an operator has to know of which disk, and who wants to write there.

/** Names the path in an error of the system that has none, such as that of a write. Hands others on. */
export function withPath(error: unknown, path: string): unknown {
  const fault = error as NodeJS.ErrnoException;
  if (!(error instanceof Error) || fault.syscall === undefined || fault.path !== undefined) return error;
  return Object.assign(error, { path, message: `${error.message} '${path}'` });
}

/**
 * Names the option that a path comes from in an error of a file system; hands others on.
 *
 * @param option with its section, such as `[trail] dir`
 */
export function atOption(error: unknown, option: string): unknown {
  const { path, code, errno, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  if (path === undefined || errno === undefined) return error;
  const message = `${option}: ${path} cannot be used: ${explainFileError(error)}`;
  return Object.assign(new Error(message), { path, code, syscall });
}

/** Tells why a file cannot be used, without the path, and what to do. */
export const explainFileError = (error: unknown): string =>
  `${describeFileError(error)}${adviseOnFile(error)}`;

/** What to do about an error of a file system, as the end of a line that tells it. */
export function adviseOnFile(error: unknown): string {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM')
    return `: chown or chmod it, and its folder, for user ${process.geteuid?.()}, who runs this, or run it as another`;
  const remedy = Object.hasOwn(remedies, code) ? remedies[code] : undefined;
  return remedy === undefined ? '' : `: ${remedy}`;
}

const remedies: Record<string, string> = {
  EROFS: 'name a place that can be written to',
  ENOSPC: 'make room there, or name another place',
  EDQUOT: 'make room there, or name another place',
  ENOENT: 'make it, or correct the path',
  ENOTDIR: 'a part of the path is a file: correct it',
};
