import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';

// `npm run unit`: the tests that need no CA, in a few processes instead of one for each file. Most of such a
// file's time is the start of its process. `npm test` gives each file a process of its own.

const root = join(import.meta.dirname, '..', '..');
const folders = '{test/architecture.test.ts,test/{shared,services}/**/*.test.ts,test/bench/*.test.ts}';

/** Side by side; of about as much work each. */
function processOf(file: string): number {
  if (file.startsWith('test/services/cli/')) return 0;
  return file.startsWith('test/shared/') ? 1 : 2;
}

type Ran = { code: number; said: Buffer };

/** What the tests say is kept until they have ended, as that of several processes would mix. */
async function runFiles(files: string[]): Promise<Ran> {
  const options = ['--test', '--test-isolation=none', '--test-timeout=120000', '--test-reporter=spec'];
  const child = spawn(process.execPath, [...options, ...files], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const code = new Promise<number>(resolve => child.on('close', code => resolve(code ?? 1)));
  const said = Buffer.concat(await child.stdout.toArray());
  return { code: await code, said };
}

const groups = Map.groupBy(globSync(folders, { cwd: root }).sort(), processOf);
const ran = await Promise.all([...groups.values()].map(runFiles));
const [good, failed] = [ran.filter(({ code }) => code === 0), ran.filter(({ code }) => code !== 0)];
// What failed is looked for at the end.
for (const { said } of [...good, ...failed]) process.stdout.write(said);
process.exitCode = failed.length === 0 ? 0 : 1;
