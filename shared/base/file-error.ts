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
  const message = `${option}: ${path} cannot be used: ${describeFileError(error)}`;
  return Object.assign(new Error(message), { path, code, syscall });
}
