import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { UsageError } from '../../services/cli/command.ts';
import { commands } from '../../services/cli/commands.ts';
import { roleNames } from '../../services/cli/start-role.ts';
import { describeError } from '../../shared/base/errors.ts';
import { ConfigError } from '../../shared/config/config-error.ts';
import { makeCsr } from '../support/csr.ts';
import { shownCommands } from '../support/docs.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import {
  readCommands,
  readNamedCommands,
  readPages,
  type ShownCommand,
  shownBlock,
} from '../support/pages.ts';
import { provision } from '../support/provision.ts';
import { quarryProgram } from '../support/quarry.ts';
import { waitUntil } from '../support/wait-until.ts';

// Every command of Quarry that README and the pages show is run beside a `quarry up` with a file that says
// little more than it must, so that the private Redis is in the default place. They run in this process, as
// starting one takes longer than all that most of them do.

const pages = readPages();

/** What runs until it is stopped, or what tests of their own run. */
const elsewhere: string[] = ['up', ...roleNames, 'acme', 'completion', 'init', 'redis-acl', 'reload'];
const isElsewhere = ({ words: [first = ''], mark }: ShownCommand) => elsewhere.includes(first) || mark !== '';

const shown = [
  ...pages.flatMap(readCommands),
  ...pages.flatMap(readNamedCommands).filter(({ words }) => words.length > 1 && words.at(-1) === 'FILE…'),
].filter(command => !isElsewhere(command));
/** The example's end of a token is not to be over on the day of a test. */
const today = (word: string, at: number, words: string[]) =>
  words[at - 1] === '--until' ? `${new Date().getUTCFullYear() + 1}-12-24` : word;
const lines = new Map(
  shown
    .map(({ words }) => words.map(word => (word === 'FILE…' ? 'main.ini' : word)).map(today))
    .map(words => [words.join(' '), words]),
);

/** What does not succeed in such a fleet, and says this; with exit code 2 where it is the words' fault. */
const refused: [line: RegExp, fault: typeof UsageError | typeof ConfigError | typeof Error, said: RegExp][] =
  [
    [
      /^acme-accounts deactivate /,
      Error,
      /^there is no account 4d5dd6\w+; quarry acme-accounts has those that are$/,
    ],
    [/^limits clear /, Error, /^no limit "name\/www\.example\.org"; quarry limits lists them$/],
    [/^notify test /, Error, /^no \[notify\] block is defined/],
    [/^renew www\.example\.org /, Error, /^nothing that Quarry renews is called "www\.example\.org": /],
    [/^reissue /, Error, /^nothing to reissue is called "\*\.example\.org"$/],
    [
      /^revoke .*www\.example\.org /,
      UsageError,
      /^nothing is revoked, as there is no terminal to ask at; say --yes$/,
    ],
    [/^check --eab /, Error, /^\[acme\] has no url, so there is no ACME server$/],
    [/^forget old\.example\.org /, Error, /^no certificate is called "old\.example\.org"; /],
    [
      /^shaman \/etc\/shaman$/,
      ConfigError,
      /^\/etc\/shaman\/shaman\.json: cannot be read: no such file or directory: make it, or correct the path$/,
    ],
    [
      /^trail verify --key trail\.pub \/mnt\/copy\/trail$/,
      ConfigError,
      /^\/mnt\/copy\/trail: cannot be read: no such file or directory: make it, or correct the path$/,
    ],
  ];

const { curl, openssl, jq } = await provision(['curl', 'openssl', 'jq']);

suite('each command of README and the pages, beside a quarry up whose Redis is in the default place', () => {
  let fleet: Fleet;
  let folder: string;
  let csr: Awaited<ReturnType<typeof makeCsr>>;
  const at = process.cwd();
  before(async () => {
    fleet = await startFleet({
      roles: ['up'],
      redisUrl: false,
      blocks:
        '[auth "web"]\nip = 127.0.0.1\ndomain = www.example.org\n\n[auth "apps"]\ntoken = yes\ndomain = *.example.org\n\n[trail]\ndir = trail\n',
    });
    folder = fleet.all('up')[0]?.folder ?? '';
    process.chdir(folder);
    csr = await makeCsr({ names: ['www.example.org'] });
    await writeFile('www.csr', csr.csrPem);
    await mkdir('bin');
    await writeFile('bin/quarry', `#!/bin/sh\nexec '${process.execPath}' '${quarryProgram()}' "$@"\n`);
    await chmod('bin/quarry', 0o755);
    const { status, body } = await fleet.post(csr.csrPem);
    assert.equal(status, 200, body);
    const listed = async () => (await run(['certificates', 'main.ini'])).includes('www.example.org');
    await waitUntil('the inventory', listed, 60_000);
  });
  after(async () => {
    process.chdir(at);
    await fleet[Symbol.asyncDispose]();
  });

  /** What a command writes. */
  async function run([name = '', ...words]: string[]): Promise<string> {
    let written = '';
    const write = (text: string) => {
      written += text;
      return undefined;
    };
    const command = await commands[name]?.();
    await command?.run(words, { env: process.env, write });
    return written;
  }

  /** What a script of a page writes, with the names and folders of this test in the place of the page's. */
  async function runScript(script: string, env: Record<string, string> = {}): Promise<string> {
    const path = ['bin', ...[curl, openssl, jq].map(dirname), process.env.PATH].join(':');
    const here = script.replaceAll('http://quarry:1313', fleet.all('up')[0]?.url ?? '');
    const options = { cwd: folder, env: { ...process.env, PATH: path, ...env } };
    const { stdout } = await promisify(execFile)('/bin/sh', ['-ec', here], options);
    return stdout;
  }

  test('is found', () => {
    const words = new Set([...lines.values()].map(([first]) => first));
    assert.deepEqual(
      Object.keys(commands).filter(name => !elsewhere.includes(name) && !words.has(name)),
      [],
    );
  });

  for (const [line, words] of lines)
    test(`quarry ${line}`, async () => {
      const [, fault, said = /^$/] = refused.find(([one]) => one.test(line)) ?? [];
      const ended = run(words);
      if (fault === undefined) return void (await ended);
      await assert.rejects(ended, error => {
        assert.match(describeError(error), said);
        assert.ok(error instanceof fault, `${error}`);
        return fault !== Error || !(error instanceof UsageError || error instanceof ConfigError);
      });
    });

  test('a client that does not wait fetches its certificate later, as the page on HTTP shows it', async () => {
    const [post = '', fetch = ''] = shownCommands('respond-async').match(/^curl .*/gm) ?? [];
    const [, id = ''] = /\r\nlocation: \/sign\/([\w-]+)\r\n/i.exec(await runScript(post)) ?? [];
    assert.notEqual(id, '');
    assert.match(fetch, /\/sign\/[\w-]{36} /);
    const withId = (script: string) => script.replace(/\/sign\/[\w-]{36}/, `/sign/${id}`);
    await runScript(withId(fetch));
    assert.match(await readFile('www.pem.new', 'utf8'), /^-----BEGIN CERTIFICATE-----/);
    const events = await runScript(withId(shownCommands('text/event-stream')));
    assert.match(events, /^event: certificate\n(id: .*\n)?data: -----BEGIN CERTIFICATE-----$/m);
  });

  test('the HMAC of version 1 for a fetch is that of the path, as the page on HTTP computes it', async () => {
    const script = shownCommands('printf %s /sign/');
    const [, path = ''] = /(\/sign\/\S+)/.exec(script) ?? [];
    const key = 'A1YP67armNf3cBrecyJHdb035';
    const hash = createHmac('sha256', key).update(path).digest('hex');
    assert.match(await runScript(script, { KEY: key }), new RegExp(`${hash}\n$`));
  });

  test('the trail is verified by hand as its page shows it', async () => {
    const sealed = async () => (await readdir('trail')).find(name => name.endsWith('.jsonl')) ?? '';
    const lineCount = async () => (await readFile(`trail/${await sealed()}`, 'utf8')).split('\n').length;
    await waitUntil('six lines of the trail', async () => (await lineCount()) > 6);
    const script = shownBlock('shared/trail/trail.md', 'sh', 'jq -r .prev');
    const here = script.replaceAll('2026-11-27.jsonl', await sealed());
    const [digest, prev, ...rest] = (await runScript(`cd trail\n${here}`)).split('\n');
    assert.equal(digest?.replace(/ .*/, ''), prev);
    assert.deepEqual(rest, ['Signature Verified Successfully', '']);
  });

  test('users of Redis are made as their page shows it', async () => {
    const script = shownBlock('shared/setup/redis-users.md', 'sh', 'redis-acl');
    const socket = `redis-cli -s ${folder}/quarry-data/redis.sock`;
    const made = await runScript(
      script.replace('/etc/quarry/redis', `${folder}/passwords`).replace('redis-cli', socket),
    );
    assert.match(made, /^(OK\n){5}$/);
    assert.deepEqual((await readdir('passwords')).sort(), ['cli', ...roleNames].sort());
  });
});
