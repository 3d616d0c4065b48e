import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { roleNames } from '../../services/cli/start-role.ts';
import { makeCsr } from '../support/csr.ts';
import { docs } from '../support/docs.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { runQuarryIn } from '../support/run-quarry.ts';
import { waitUntil } from '../support/wait-until.ts';

// Every command that README and the pages show is run beside a `quarry up` with a file that says only what it
// must, so that the private Redis is in the default place.

const inBlocks = [...docs.matchAll(/^```sh\n([^`]*)^```$/gm)]
  .flatMap(([, block = '']) => block.replace(/ +#.*$/gm, '').split('\n'))
  .flatMap(line => line.split('&&'))
  .flatMap(command => /^ *npx quarry (.*)/.exec(command)?.[1] ?? []);
const inText = [...docs.matchAll(/`quarry ([a-z][^`]* FILE…)`/g)].map(([, command = '']) => command);

/** What runs until it is stopped. */
const lasting: string[] = ['up', ...roleNames];
const commands = [...new Set([...inBlocks, ...inText].map(command => command.replace('FILE…', 'main.ini')))]
  .map(command => command.trim())
  .filter(command => !lasting.includes(command.split(' ')[0] ?? ''));

/** What ends with another code than 0 in such a fleet, and says this. */
const refused: [command: RegExp, code: number, said: RegExp][] = [
  [
    /^acme-accounts deactivate /,
    1,
    /^quarry: there is no account 4d5dd6\w+; quarry acme-accounts has those that are\n$/,
  ],
  [/^limits clear /, 1, /^quarry: no limit "name\/www\.example\.org"; quarry limits lists them\n$/],
  [/^notify test /, 1, /^quarry: no \[notify\] block is defined/],
  [/^renew www\.example\.org /, 1, /^quarry: nothing that Quarry renews is called "www\.example\.org": /],
  [/^reissue /, 1, /^quarry: nothing to reissue is called "\*\.example\.org"\n$/],
  [
    /^revoke www\.example\.org /,
    2,
    /^quarry: nothing is revoked, as there is no terminal to ask at; say --yes\n$/,
  ],
  [/^check --eab /, 1, /^quarry: \[acme\] has no url, so there is no ACME server\n$/],
  [/^forget old\.example\.org /, 1, /^quarry: no certificate is called "old\.example\.org"; /],
  [/^shaman \/etc\/shaman$/, 2, /^\/etc\/shaman\/shaman\.json: cannot be read: no such file or directory\n$/],
];

suite('each command of README and the pages, beside a quarry up whose Redis is in the default place', () => {
  let fleet: Fleet;
  let folder: string;
  before(async () => {
    fleet = await startFleet({
      roles: ['up'],
      redisUrl: false,
      blocks: '[auth "web"]\nip = 127.0.0.1\ndomain = www.example.org\n',
    });
    folder = fleet.all('up')[0]?.folder ?? '';
    const { csrPem } = await makeCsr({ names: ['www.example.org'] });
    await writeFile(join(folder, 'www.csr'), csrPem);
    const { status, body } = await fleet.post(csrPem);
    assert.equal(status, 200, body);
    const listed = async () => (await runQuarryIn(folder, ['certificates', 'main.ini'])).stdout;
    await waitUntil('the inventory', async () => (await listed()).includes('www.example.org'), 60_000);
  });
  after(() => fleet[Symbol.asyncDispose]());

  test('is found', () => {
    const words = new Set(commands.map(command => command.split(' ')[0]));
    for (const word of [
      'ca',
      'certificates',
      'check',
      'keys',
      'limits',
      'notify',
      'reissue',
      'renew',
      'renewals',
      'revoke',
      'shaman',
      'trail',
    ])
      assert.ok(words.has(word), `${word} in ${commands.join('\n')}`);
    assert.ok(commands.some(command => command.startsWith('check --probe ')));
  });

  for (const command of commands)
    test(`quarry ${command}`, async () => {
      const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
      const { code, stdout, stderr } = await runQuarryIn(folder, words);
      const [, wanted = 0, said = /^$/] = refused.find(([one]) => one.test(command)) ?? [];
      assert.match(stderr, said, stdout);
      assert.equal(code, wanted, stderr);
    });
});
