import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openShamanFile } from '../../../shared/shaman/file.ts';
import { parseShamanProfile } from '../../../shared/shaman/profile.ts';
import { findProgram, openSolversFor } from '../../../shared/shaman/programs.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { scriptCa } from '../order/scripted-ca.ts';

async function start() {
  const dir = await tempDir();
  const [home, bin] = ['home', 'bin'].map(name => join(dir.path, name)) as [string, string];
  for (const folder of [home, bin, join(home, 'own')]) await mkdir(folder);
  const program = async (path: string, mode = 0o755) => {
    await writeFile(path, '#!/bin/sh\n');
    await chmod(path, mode);
    return path;
  };
  const parts = { file: openShamanFile(home), path: [join(dir.path, 'absent'), bin] };
  return { home, bin, program, parts, [Symbol.asyncDispose]: dir[Symbol.asyncDispose] };
}

test('findProgram() looks in the directory, then on PATH', async () => {
  await using ready = await start();
  const { home, bin, program, parts } = ready;
  await program(join(bin, 'prove'));
  assert.equal(findProgram(parts, 'prove'), join(bin, 'prove'));
  await program(join(home, 'prove'), 0o644);
  assert.equal(findProgram(parts, 'prove'), join(bin, 'prove'), 'what cannot be run does not count');
  await program(join(home, 'prove'));
  assert.equal(findProgram(parts, 'prove'), join(home, 'prove'));
  assert.equal(findProgram(parts, join(bin, 'prove')), join(bin, 'prove'));
});

test('findProgram() looks for a path with a slash in the directory alone', async () => {
  await using ready = await start();
  const { home, bin, program, parts } = ready;
  await program(join(home, 'own', 'prove'));
  assert.equal(findProgram(parts, 'own/prove'), join(home, 'own', 'prove'));
  await program(join(bin, 'other'));
  assert.throws(() => findProgram(parts, './other'), {
    message: `${home}/other cannot be run: no such file or directory`,
  });
  assert.throws(() => findProgram(parts, 'none'), {
    message: /\/home\/none cannot be run: .*, and there is none on PATH$/,
  });
});

test("openSolversFor() prefers a domain's own authenticators, and falls back on what the run was given", async () => {
  await using ready = await start();
  const { bin, program, parts } = ready;
  for (const name of ['one', 'two', 'three']) await program(join(bin, name));
  const given = [scriptCa().solver];
  const solversOf = (authenticators: object, own: object) => {
    const domains = { 'a.example': { authenticators: own } };
    const profile = parseShamanProfile(
      { server: 'https://ca.example', authenticators, domains },
      'shaman.json',
    );
    const [domain] = profile.domains;
    assert.ok(domain);
    return openSolversFor(domain, profile, given, parts, quietLog);
  };
  const typesOf = (...all: [object, object]) => solversOf(...all).map(({ challengeType }) => challengeType);
  assert.deepEqual(typesOf({ 'dns-01': 'one', 'http-01': 'two' }, { 'http-01': 'three' }), [
    'http-01',
    'dns-01',
  ]);
  assert.deepEqual(typesOf({ 'tls-alpn-01': 'one' }, {}), ['tls-alpn-01']);
  assert.equal(solversOf({}, {})[0], given[0]);
});
