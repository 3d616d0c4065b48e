import assert from 'node:assert/strict';
import { chmod, lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError } from '../../../shared/config/config-error.ts';
import { makeKeyFile, openShamanFile, readKeyFile } from '../../../shared/shaman/file.ts';
import { failCalls } from '../../support/file-system.ts';
import { tempDir } from '../../support/temp-dir.ts';

const minimal = { server: 'https://ca.example/dir', renewal: 10, domains: { 'example.org': {} } };

async function start(content: unknown = minimal) {
  const dir = await tempDir();
  const path = join(dir.path, 'shaman.json');
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  const json = async () => JSON.parse(await readFile(path, 'utf8'));
  return {
    dir: dir.path,
    path,
    json,
    file: openShamanFile(dir.path),
    [Symbol.asyncDispose]: dir[Symbol.asyncDispose],
  };
}

test('a shaman.json keeps keys that nobody knows, and what is edited while a run goes on', async () => {
  await using ready = await start({
    ...minimal,
    comment: { by: 'hand' },
    domains: { 'example.org': { note: 7 } },
  });
  const { path, json, file } = ready;
  await file.read();
  await writeFile(path, JSON.stringify({ ...(await json()), renewal: 20 }));
  await file.patch({ key: 'account.key.priv.pem' });
  await file.patchDomain('example.org', { order_id: 'https://ca.example/1', certificate_id: undefined });
  const domains = { 'example.org': { note: 7, order_id: 'https://ca.example/1' } };
  assert.deepEqual(await json(), {
    ...{ ...minimal, comment: { by: 'hand' }, renewal: 20, key: 'account.key.priv.pem', domains },
  });
  await file.patchDomain('example.org', { order_id: undefined });
  assert.deepEqual((await json()).domains, { 'example.org': { note: 7 } });
});

test('a shaman.json keeps numbers as they are written, and sorts keys as Python does', async () => {
  const written =
    '{"server": "https://ca.example/dir", "renewal": 10.0, "10": 12345678901234567890, "9": 1e400, "\ue000": -0, "😀": 0.10, "domains": {"example.org": {"note": 1.0, "quarry": {}}}}';
  await using ready = await start(written);
  assert.equal((await ready.file.read()).renewal, 10);
  await ready.file.patchDomain('example.org', { order_id: 'https://ca.example/1' });
  await ready.file.patch({ key: 'a' });
  const lines = [
    ...['"10": 12345678901234567890', '"9": 1e400'],
    `"domains": {\n        "example.org": {\n            "note": 1.0,\n            "order_id": "https://ca.example/1",\n            "quarry": {}\n        }\n    }`,
    ...['"key": "a"', '"renewal": 10.0', '"server": "https://ca.example/dir"'],
    ...['"\\ue000": -0', '"\\ud83d\\ude00": 0.10'],
  ];
  assert.equal(await readFile(ready.path, 'utf8'), `{\n    ${lines.join(',\n    ')}\n}`);
});

test('a domain that was taken out of shaman.json while a run goes on is not put back', async () => {
  await using ready = await start();
  await writeFile(ready.path, JSON.stringify({ ...minimal, domains: {} }));
  await ready.file.patchDomain('example.org', { order_id: 'https://ca.example/1' });
  assert.deepEqual((await ready.json()).domains, {});
});

test('a shaman.json is written through a link, with the permissions that it has, and leaves nothing behind', async () => {
  await using ready = await start();
  const { dir, path, file } = ready;
  await mkdir(join(dir, 'elsewhere'));
  const link = join(dir, 'elsewhere', 'shaman.json');
  await symlink(path, link);
  await chmod(path, 0o640);
  await openShamanFile(join(dir, 'elsewhere')).patch({ key: 'a' });
  assert.ok((await lstat(link)).isSymbolicLink());
  assert.equal((await stat(path)).mode & 0o777, 0o640);
  assert.equal((await file.read()).key, 'a');
  assert.deepEqual((await readdir(dir)).sort(), ['elsewhere', 'shaman.json']);
});

test('a shaman.json that cannot be read ends in one line with its path, and the line where it is known', async () => {
  /** concorde's README has its minimal file with a comma missing. */
  const readme = '{\n  "server": "https://ca.example",\n  "authenticators": {\n  }\n  "domains": {}\n}';
  for (const [text, message] of [
    [readme, /^\S+\/shaman\.json:5: is not valid JSON: Expected ',' or '}' after property value$/],
    ['{ // nothing\n}', /^\S+\/shaman\.json:1: is not valid JSON: Expected property name or '}'$/],
    ['{"eab": {"hmac_key": secret}}', /^\S+\/shaman\.json: is not valid JSON: Unexpected token 's'$/],
    ['', /^\S+\/shaman\.json: is not valid JSON: Unexpected end of JSON input$/],
    ['[]', /^\S+\/shaman\.json: must be an object, \{ … \}$/],
  ] as const) {
    await using ready = await start(text);
    await assert.rejects(
      ready.file.read(),
      error =>
        error instanceof ConfigError && message.test(error.message) && !error.message.includes('secret'),
    );
  }
  await using dir = await tempDir();
  await assert.rejects(
    openShamanFile(dir.path).read(),
    /shaman\.json: cannot be read: no such file or directory: make it, or correct the path$/,
  );
});

test('what cannot be written is told by its own name, and with what to do', async t => {
  await using ready = await start();
  const key = join(ready.dir, 'account.key.priv.pem');
  failCalls(t, 'open', 'EACCES', path => String(path).endsWith('.tmp'));
  const advice =
    /^Error: (\S+) cannot be written: permission denied: chown or chmod it, and its folder, for user \d+/;
  for (const [act, path] of [
    [() => makeKeyFile(key, 'P-384'), key],
    [() => ready.file.patch({ key: 'account.key.priv.pem' }), ready.path],
  ] as const)
    await assert.rejects(act(), error => advice.exec(String(error))?.[1] === path);
});

test('a key that cannot be read is not called unusable, and its line says what to do', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'account.key.priv.pem');
  await assert.rejects(readKeyFile(file), {
    code: 'misconfigured',
    message: `${file} cannot be read: no such file or directory: make it, or correct the path`,
  });
  await writeFile(file, 'no key');
  await assert.rejects(readKeyFile(file), /account\.key\.priv\.pem holds no usable private key: /);
});
