import { join } from 'node:path';
import { describeError } from '../../shared/base/errors.ts';
import { chooseNames, parseRequest, type Request, usage } from './arguments.ts';
import type { Benchmark, Result, Subject } from './benchmark.ts';
import { benchmarks } from './benchmarks.ts';
import { findExceeded, readBudget, saveBudget } from './budget.ts';
import { compareTrees, describe } from './compare.ts';
import { checkOut } from './other-tree.ts';
import { profileOrders, toProfileTable } from './profile.ts';
import { toTable } from './table.ts';
import type { Plan } from './trials.ts';

// `npm run bench`, as `usage` has it; a NAME may be what names begin with. By default all are meant, and
// for a budget those that it holds.
// Progress goes to stderr, results to stdout: a table, lines, or one JSON object a line.

const root = join(import.meta.dirname, '..', '..');
const known = Object.keys(benchmarks);
const print = (text: string) => void process.stdout.write(text);
const complain = (text: string) => void process.stderr.write(`${text}\n`);
const tellerOf = (name: string) => (progress: string) => complain(`${name}: ${progress}`);

async function measure(name: string): Promise<Result> {
  const figures = await (benchmarks[name] as Benchmark).run(tellerOf(name));
  const { value, unit, beside, besideValue, ...more } = figures;
  return { name, value, unit, beside, besideValue, ratio: value / besideValue, ...more };
}

/** Does it for each, one after the other; one that fails is passed over. Whether all went well. */
async function forEach(names: readonly string[], act: (name: string) => Promise<void>): Promise<boolean> {
  let well = true;
  for (const name of names) {
    try {
      await act(name);
    } catch (error) {
      well = false;
      complain(`${name} failed: ${describeError(error)}`);
    }
  }
  return well;
}

async function runAll(names: readonly string[], onResult: (result: Result) => void = () => {}) {
  const results: Result[] = [];
  const well = await forEach(names, async name => {
    const result = await measure(name);
    results.push(result);
    onResult(result);
  });
  return { results, well };
}

async function run(names: string[], json: boolean): Promise<boolean> {
  const { results, well } = await runAll(names, result => {
    if (json) print(`${JSON.stringify(result)}\n`);
  });
  if (!json) print(toTable(results));
  return well;
}

async function compare(names: string[], revision: string): Promise<boolean> {
  await using other = await checkOut(root, revision, tellerOf(revision));
  print(`beside ${other.commit}; below 1 this tree takes less\n`);
  return await forEach(names, async name => {
    const benchmark = benchmarks[name] as Benchmark & { subject: Subject };
    const trees = { here: { root }, there: { root: other.root } };
    for (const comparison of await compareTrees(benchmark, trees, tellerOf(name)))
      print(`${name}: ${describe(comparison)}\n`);
  });
}

async function check(words: string[]): Promise<boolean> {
  const { held, date, machine } = await readBudget();
  const names = chooseNames(words, Object.keys(held));
  const { results, well } = await runAll(names);
  const exceeded = findExceeded(held, names, results);
  for (const line of exceeded) print(`${line}\n`);
  if (exceeded.length === 0) print(`within the budget of ${date} (${machine}): ${names.join(', ')}\n`);
  return well && exceeded.length === 0;
}

async function save(words: string[]): Promise<boolean> {
  const { held } = await readBudget();
  const names = chooseNames(words, known, Object.keys(held));
  const { results, well } = await runAll(names);
  await saveBudget(results);
  print(toTable(results));
  return well;
}

async function profile(names: string[], revision: string | undefined): Promise<boolean> {
  await using stack = new AsyncDisposableStack();
  const other = revision && stack.use(await checkOut(root, revision, tellerOf(revision)));
  const trees = { here: { root }, ...(other && { [revision]: { root: other.root } }) };
  return await forEach(names, async name => {
    const plan = benchmarks[name]?.plan as Plan;
    print(toProfileTable(name, await profileOrders(plan, trees, tellerOf(name))));
  });
}

const having = (what: 'subject' | 'plan') => known.filter(name => benchmarks[name]?.[what]);

async function main(request: Request): Promise<boolean> {
  const { names } = request;
  switch (request.do) {
    case 'run':
      return await run(chooseNames(names, known), request.json);
    case 'compare':
      return await compare(chooseNames(names, having('subject')), request.against);
    case 'profile':
      return await profile(chooseNames(names, having('plan')), request.against);
    case 'check':
      return await check(names);
    case 'save':
      return await save(names);
  }
}

// An exit, unlike a signal, ends the processes and removes the folders of the benchmark that runs.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
try {
  const well = await main(parseRequest(process.argv.slice(2)));
  // Exits for itself too: calls that hang with a Pebble that has hung would keep it for minutes.
  process.exit(well ? 0 : 1);
} catch (error) {
  complain(`bench: ${describeError(error)}\n${usage}`);
  process.exit(2);
}
