import { spawn } from 'node:child_process';

// `npm run ok`: `node run-gate.ts SCRIPT…` runs scripts of package.json beside each other, as none of them
// keeps two cores busy by itself. What one says is kept until it has ended, as that of several would mix, and
// what one says that fails until all have ended: it is looked for at the end.

type Ran = { script: string; code: number; said: Buffer };

async function run(script: string): Promise<Ran> {
  const child = spawn('npm', ['run', '--silent', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => chunks.push(chunk));
  const ended = new Promise<number>(resolve => child.on('close', code => resolve(code ?? 1)));
  return { script, code: await ended, said: Buffer.concat(chunks) };
}

const show = ({ script, said }: Ran) => process.stdout.write(Buffer.concat([title(script), said]));
const title = (text: string) => Buffer.from(`== ${text}\n`);

async function runAndTell(script: string): Promise<Ran> {
  const ran = await run(script);
  if (ran.code === 0) show(ran);
  else process.stdout.write(title(`${script} failed, see the end`));
  return ran;
}

const ran = await Promise.all(process.argv.slice(2).map(runAndTell));
const failed = ran.filter(({ code }) => code !== 0);
for (const one of failed) show(one);
if (failed.length > 0) {
  const list = failed.map(({ script, code }) => `${script} (${code})`).join(', ');
  process.stderr.write(`failed: ${list}\n`);
}
process.exitCode = failed[0]?.code ?? 0;
