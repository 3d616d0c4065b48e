import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { tempDir } from './temp-dir.ts';
import { lastStopMs } from './wait-until.ts';

const launcher = join(import.meta.dirname, '..', '..', 'services', 'cli', 'quarry.js');

export type Ended = { code: number | string; stdout: string; stderr: string };

const roles = ['up', 'intake', 'scheduler', 'worker', 'responder'];

/**
 * Runs `quarry <args>` to its end, in a folder that holds this configuration as `main.ini`; where it is a
 * role, with an admin listener on a port that nobody else wants.
 *
 * @param nodeArgs for Node, before the program
 */
export async function runQuarry(args: string[], ini = '', nodeArgs: string[] = []): Promise<Ended> {
  await using dir = await tempDir();
  const admin = roles.includes(args[0] ?? '') ? `\n[admin]\nlistener = 127.0.0.1:${await freePort()}\n` : '';
  await writeFile(join(dir.path, 'main.ini'), ini + admin);
  return await runQuarryIn(dir.path, args, nodeArgs);
}

/** Runs `quarry <args>` to its end in a folder. @param env beside this process's own */
export async function runQuarryIn(
  folder: string,
  args: string[],
  nodeArgs: string[] = [],
  env: Record<string, string> = {},
): Promise<Ended> {
  return await new Promise(done => {
    const options = {
      cwd: folder,
      env: { ...process.env, ...env },
      timeout: lastStopMs,
      killSignal: 'SIGKILL' as const,
    };
    execFile(process.execPath, [...nodeArgs, launcher, ...args], options, (error, stdout, stderr) => {
      done({ code: error ? (error.code ?? `${error.signal}`) : 0, stdout, stderr });
    });
  });
}

/** What is for people: the lines of the standard error that are not the log. */
export const toldLines = ({ stderr }: Ended): string[] =>
  stderr.split('\n').filter(line => line !== '' && !line.startsWith('{'));
