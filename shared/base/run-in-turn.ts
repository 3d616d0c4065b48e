import { type Redis, runScript, type Script, toScript } from './redis.ts';

/** A script with what it is to be run with. */
export type ScriptRun = {
  script: Script;
  keys: readonly string[];
  args: readonly (string | number | Buffer)[];
};

const made = new Map<string, Script>();

/**
 * Runs scripts in one moment, one after the other, as long as each answers 1.
 *
 * @returns how many of them did
 * @throws as `runScript`
 */
export async function runInTurn(redis: Redis, runs: readonly ScriptRun[]): Promise<number> {
  const scripts = runs.map(({ script }) => script);
  const name = scripts.map(({ digest }) => digest).join();
  const script = made.get(name) ?? joinScripts(scripts);
  made.set(name, script);
  const counts = runs.flatMap(({ keys, args }) => [keys.length, args.length]);
  const keys = runs.flatMap(({ keys }) => keys);
  return Number(await runScript(redis, script, keys, [...counts, ...runs.flatMap(({ args }) => args)]));
}

/**
 * Each script becomes a function with its part of what there is.
 *
 * KEYS: those of all. ARGV: of each how many keys and values it has, then the values of all. Answers how many
 * answered 1.
 */
function joinScripts(scripts: readonly Script[]): Script {
  const functions = scripts.map(({ text }) => `function(KEYS, ARGV)\n${text}\nend`);
  return toScript(`
local runs = {${functions.join(',\n')}}
local key, value = 0, 2 * #runs
for at, run in ipairs(runs) do
  local last_key, last_value = key + ARGV[2 * at - 1], value + ARGV[2 * at]
  local answer = run({unpack(KEYS, key + 1, last_key)}, {unpack(ARGV, value + 1, last_value)})
  if answer ~= 1 then return at - 1 end
  key, value = last_key, last_value
end
return #runs`);
}
