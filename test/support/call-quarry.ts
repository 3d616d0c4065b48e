import { runCommand } from '../../services/cli/run-command.ts';

/**
 * Does in this process, and in its folder, what `quarry` is told: the start of a process costs more than most
 * commands do. Not for roles, nor where it is to be killed.
 *
 * @param env beside PATH, in place of this process's own
 */
export async function callQuarry(
  words: string[],
  env: Record<string, string | undefined> = {},
): Promise<{ code: 0 | 1 | 2; stdout: string; stderr: string }> {
  let [stdout, stderr] = ['', ''];
  const write = (text: string) => {
    stdout += text;
    return undefined;
  };
  const code = await runCommand(words, { env: { PATH: process.env.PATH, ...env }, write }, line => {
    stderr += line;
  });
  return { code, stdout, stderr };
}
