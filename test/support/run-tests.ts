import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';

// `npm run unit`: the tests that need no CA, in a few processes instead of one for each file, as most of such
// a file's time is the start of its process. `npm test`: these, and then all others, each file in a process
// of its own.

const root = join(import.meta.dirname, '..', '..');
const unit = globSync('test/{architecture.test.ts,{ci,shared,services}/**/*.test.ts,bench/*.test.ts}', {
  cwd: root,
}).sort();

/** Side by side; each computes and waits about as long as the others, and all other files are together. */
const groups = [
  ['test/services/cli/'],
  ['test/shared/pki/', 'test/shared/acme/', 'test/shared/acme-server/'],
  ['test/shared/'],
];
const groupOf = (file: string) =>
  groups.findIndex(folders => folders.some(folder => file.startsWith(folder)));

type Ran = { code: number; said: Buffer };

/** What the tests of one process say is kept until they have ended, as that of several would mix. */
async function runTogether(files: string[]): Promise<Ran> {
  const options = ['--test-isolation=none', '--test-timeout=120000', '--test-reporter=spec'];
  const child = spawn(process.execPath, ['--test', ...options, ...files], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number>(resolve => child.on('close', code => resolve(code ?? 1)));
  const said = Buffer.concat(await child.stdout.toArray());
  return { code: await ended, said };
}

async function runUnit(): Promise<boolean> {
  const groups = Map.groupBy(unit, groupOf);
  const ran = await Promise.all([...groups.values()].map(runTogether));
  const [good, failed] = [ran.filter(({ code }) => code === 0), ran.filter(({ code }) => code !== 0)];
  // What failed is looked for at the end.
  for (const { said } of [...good, ...failed]) process.stdout.write(said);
  return failed.length === 0;
}

async function runOthers(): Promise<boolean> {
  const others = globSync('test/**/*.test.ts', { cwd: root }).filter(file => !unit.includes(file));
  const options = ['--test-concurrency=4', '--test-timeout=1200000', '--test-reporter=spec'];
  const child = spawn(process.execPath, ['--test', ...options, ...others.sort()], {
    cwd: root,
    stdio: 'inherit',
  });
  return await new Promise(resolve => child.on('close', code => resolve(code === 0)));
}

// CI has run them a moment before, by `npm run ok`.
const havePassed = process.argv[2] === 'all' && process.env.QUARRY_UNIT_TESTS === 'passed';
if (havePassed) process.stdout.write('the unit tests have passed before, and are not run again\n');
const isUnitGood = havePassed || (await runUnit());
const areOthersGood = process.argv[2] !== 'all' || (await runOthers());
if (!isUnitGood) process.stderr.write('unit tests failed: see above\n');
process.exitCode = isUnitGood && areOthersGood ? 0 : 1;
