import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import type { Answers } from '../../../../services/cli/init/answers.ts';
import { type Place, renderIni, toListeners, toSections } from '../../../../services/cli/init/main-ini.ts';
import { tellNextSteps } from '../../../../services/cli/init/next-steps.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const file = join(dir.path, "it's mine.ini");
const shown = `'${dir.path}/it'\\''s mine.ini'`;
const keys = [
  'first+key/0000000000000000000000000000000000=',
  'second+key/000000000000000000000000000000000=',
];

async function tell(
  answers: Partial<Answers>,
  kind: Place['kind'] = 'here',
  more: Record<string, unknown> = {},
) {
  const all: Answers = {
    ...{ ca: { directory: 'https://ca.example/dir' }, names: ['example.org', '*.example.org'] },
    ...{ proof: { kind: 'http', port: 80 }, clients: [{ kind: 'this-machine' }], listeners: [] },
    ...answers,
  };
  const place = { kind, file, data: '/var/lib/quarry' };
  const left = [...keys];
  const sections = toSections(all, place, { hasIpv6: true, makeKey: () => left.shift() ?? '' });
  await writeFile(file, renderIni(sections, 'check'));
  const listeners = toListeners(all, place, true);
  const setting = {
    place,
    quarry: 'quarry',
    isStarted: false,
    isAgain: false,
    isRoot: false,
    isDebian: false,
    server: 'quarry.example.org',
  };
  return tellNextSteps(all, sections, { ...setting, listeners, ...more });
}

/** The lines to copy. */
const commandsIn = (text: string) => [...text.matchAll(/^ {4}(.*)$/gm)].map(([, line = '']) => line);

test('the next two commands are those of the place', async () => {
  const first = async (kind: Place['kind'], more = {}) =>
    commandsIn(await tell({ clients: [{ kind: 'key' }] }, kind, more)).slice(0, 2);
  assert.deepEqual(await first('here'), [`quarry check ${shown}`, `quarry up ${shown}`]);
  assert.deepEqual(await first('system'), [
    'sudo systemctl enable --now quarry',
    'sudo systemctl status quarry',
  ]);
  assert.deepEqual(await first('system', { isRoot: true, isStarted: true }), [
    'systemctl status quarry',
    'journalctl -u quarry -f',
  ]);
  assert.deepEqual(await first('compose'), ['docker compose up -d', 'docker compose ps']);
  // What runs does not take over another CA by itself.
  assert.equal((await first('system', { isAgain: true }))[0], 'sudo systemctl restart quarry');
  assert.equal((await first('compose', { isAgain: true }))[0], 'docker compose up -d --force-recreate');
});

test('this machine asks at loopback, others at the name of this one, each for a name that it may have', async () => {
  const clients: Answers['clients'] = [{ kind: 'this-machine' }, { kind: 'network', cidr: '192.0.2.0/24' }];
  const text = await tell({ clients });
  assert.match(
    text,
    /^On this machine:\n {4}curl -fsS http:\/\/127\.0\.0\.1:1313\/quarry-get -o quarry-get$/m,
  );
  assert.match(text, /^On each host:\n {4}curl -fsS http:\/\/quarry\.example\.org:1313\/quarry-get /m);
  const names = commandsIn(text).filter(line => line.startsWith('sudo sh quarry-get install '));
  assert.deepEqual(
    names.map(line => line.split(' ').at(-1)),
    ['www.example.org', 'www.example.org'],
  );
  const named = await tell({ clients, listeners: ['192.0.2.7:80'] });
  assert.match(named, /http:\/\/192\.0\.2\.7:80\/quarry-get/);
  assert.match(named, /http:\/\/127\.0\.0\.1:80\/quarry-get/);
});

test('this machine gets one certificate for all names that are whole, by the quarry-get that it has', async () => {
  const names = ['www.example.org', 'api.example.org', '*.example.org'];
  const more = "--reload 'systemctl reload nginx' www.example.org api.example.org";
  assert.deepEqual(commandsIn(await tell({ names }, 'system', { isDebian: true })).slice(2), [
    `sudo quarry-get install --server http://127.0.0.1:1313 ${more}`,
  ]);
  assert.equal(commandsIn(await tell({ names })).at(-1), `sudo sh quarry-get install ${more}`);
});

test('a key goes to its host from file to file: no line has it, and each line reads that of its own block', async () => {
  const clients: Answers['clients'] = [{ kind: 'key', host: 'web1.example.org' }, { kind: 'key' }];
  const text = await tell({ clients });
  for (const key of keys) assert.ok(!text.includes(key));
  const sending = commandsIn(text).filter(line => line.includes('| ssh '));
  assert.equal(sending.length, 2);
  const got = await Promise.all(
    sending.map(async (line, index) => {
      const key = join(dir.path, `get.key${index}`);
      // What ssh would have a shell of the host do.
      const there = line.replace(/ssh root@\S+ /, 'sh -c ').replaceAll('/etc/quarry/get.key', key);
      await promisify(execFile)('sh', ['-euc', there.replace('mkdir -p /etc/quarry', ':')]);
      return (await readFile(key, 'utf8')).trim();
    }),
  );
  assert.deepEqual(got, keys);
  assert.match(text, /--hmac-key-file \/etc\/quarry\/get\.key .* web1\.example\.org$/m);
});

test('for tokens the command that makes one comes first, and its names', async () => {
  const clients: Answers['clients'] = [{ kind: 'token' }];
  assert.match(
    await tell({ clients }, 'system'),
    /^ {4}sudo quarry token add --names www\.example\.org www\.example\.org '\S+ mine\.ini'$/m,
  );
  assert.match(
    await tell({ clients }, 'compose', { listeners: ['1313'] }),
    /^ {4}docker compose run --rm cli token add --names \S+ \S+ \/etc\/quarry\/main\.ini$/m,
  );
});

test('where something else has the port of the CA, it is told what that has to do', async () => {
  assert.doesNotMatch(await tell({}), /acme-challenge/);
  assert.match(
    await tell({ proof: { kind: 'http', port: 1380 } }),
    /location \/\.well-known\/acme-challenge\/ \{ proxy_pass http:\/\/127\.0\.0\.1:1380; \}\n.*\n +location \/ \{ return 301 /,
  );
  assert.match(await tell({ proof: { kind: 'tls-alpn', port: 13443 } }), /acme-tls\/1 on to 13443/);
});
