import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tempDir } from './temp-dir.ts';
import { lastStopMs } from './wait-until.ts';

const main = join(import.meta.dirname, '..', '..', 'services', 'cli', 'main.ts');

export type Ended = { code: number | string; stdout: string; stderr: string };

/** Runs `quarry <args>` to its end, in a folder that holds this configuration as `main.ini`. */
export async function runQuarry(args: string[], ini = ''): Promise<Ended> {
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'main.ini'), ini);
  return await new Promise(done => {
    const options = { cwd: dir.path, timeout: lastStopMs, killSignal: 'SIGKILL' as const };
    execFile(process.execPath, [main, ...args], options, (error, stdout, stderr) => {
      done({ code: error ? (error.code ?? `${error.signal}`) : 0, stdout, stderr });
    });
  });
}

/** What is for people: the lines of the standard error that are not the log. */
export const toldLines = ({ stderr }: Ended): string[] =>
  stderr.split('\n').filter(line => line !== '' && !line.startsWith('{'));
