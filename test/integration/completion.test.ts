import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { loadCommands } from '../../services/cli/commands.ts';
import { toScript } from '../../services/cli/completion/script.ts';
import { provision } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';

const { zsh, fish } = await provision(['zsh', 'fish']);
const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const { path: cwd } = stack.use(await tempDir());
await writeFile(join(cwd, 'main.ini'), '');
await mkdir(join(cwd, 'profile'));
await writeFile(join(cwd, 'main of two words.ini'), '');

const commands = await loadCommands();
const forms = Object.values(commands).flatMap(command => command.forms ?? command.usage);
const run = async (program: string, args: string[]) =>
  (await promisify(execFile)(program, args, { cwd })).stdout;
const toLines = (text: string) => [...new Set(text.split('\n').filter(line => line !== ''))].sort();

/** What bash offers where the line ends. */
async function inBash(line: string, texts = forms): Promise<string[]> {
  await writeFile(join(cwd, '.bash'), toScript('bash', texts));
  const ask = `set -u; . ./.bash; COMP_LINE=$1 COMP_POINT=\${#1}; _quarry; printf '%s\\n' "\${COMPREPLY[@]-}"`;
  return toLines(await run('bash', ['--norc', '-c', ask, 'bash', line]));
}

/** What zsh is given: its own completion system is stood in for, and picks by what is typed. */
async function inZsh(line: string, texts = forms): Promise<string[]> {
  await writeFile(join(cwd, '.zsh'), toScript('zsh', texts));
  const ask = `compdef() { : }; compadd() { shift; print -rl -- $@ }; _files() { [[ $1 == -/ ]] && print -rl -- *(/N) || print -rl -- *(N) }
. ./.zsh; words=("\${(@s: :)1}"); CURRENT=$#words; _quarry`;
  const current = line.split(' ').at(-1) ?? '';
  return toLines(await run(zsh, ['-f', '-c', ask, 'zsh', line])).filter(one => one.startsWith(current));
}

/** What fish offers, without the lines that say what each is. */
async function inFish(line: string, texts = forms): Promise<string[]> {
  await writeFile(join(cwd, '.fish'), toScript('fish', texts));
  const said = await run(fish, ['--no-config', '-c', 'source .fish; complete -C $argv', '--', line]);
  return toLines(said.replace(/\t.*/g, '').replace(/\\ /g, ' ').replace(/\/$/gm, ''));
}

for (const [shell, complete] of [
  ['bash', inBash],
  ['zsh', inZsh],
  ['fish', inFish],
] as const)
  suite(`quarry completion ${shell}`, () => {
    for (const [line, offered] of [
      ['quarry ch', ['check']],
      ['quarry acme ', ['key', 'keys', 'reg', 'unreg']],
      ['quarry acme keys ', ['create']],
      ['quarry acme unreg a.pem https://ca.example/dir s', ['status']],
      [
        'quarry acme reg a.pem https://ca.example/1 https://ca.example/dir order g',
        ['get-authz', 'get-cert'],
      ],
      ['quarry acme reg a.pem https://ca.example/1 https://ca.example/dir order list ', []],
      ['quarry acme unreg a.pem s create --contact ', []],
      ['quarry acme unreg a.pem s create --contact a@example.org --acc', []],
      ['quarry acme unreg a.pem s create --contact a@example.org --c', ['--contact']],
      ['quarry acme unreg --contact a@example.org a.pem s c', ['create']],
      ['quarry acme unreg a.pem s create --eab-hmac-key-file m', ['main of two words.ini', 'main.ini']],
      ['quarry acme key create m', ['main of two words.ini', 'main.ini']],
      ['quarry check main.ini m', ['main of two words.ini', 'main.ini']],
      ['quarry limits c', ['clear']],
      ['quarry up --h', ['--help']],
      ['quarry completion ', ['bash', 'fish', 'zsh']],
      ['quarry none ', []],
    ] as const)
      test(`offers ${offered.join(' ') || 'nothing'} for: ${line}`, async () => {
        assert.deepEqual(await complete(line), [...offered]);
      });

    test('offers folders for a DIRECTORY, and every command', async () => {
      assert.deepEqual(await complete('quarry shaman ', ['shaman [DIRECTORY]']), ['profile']);
      assert.deepEqual(await complete('quarry '), Object.keys(commands).sort());
    });
  });
