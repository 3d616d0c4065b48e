import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { showMoments } from '../../support/first-hour.ts';
import { freePort } from '../../support/free-port.ts';
import { tempDir } from '../../support/temp-dir.ts';

const script = join(import.meta.dirname, '../../../services/get/quarry-get');

/** What quarry-get says, in one line, for a key and a chain in a folder of their own. */
async function run(...words: string[]): Promise<string> {
  await using dir = await tempDir();
  const files = ['--key', join(dir.path, 'www.key'), '--chain', join(dir.path, 'www.pem')];
  const options = { env: { PATH: process.env.PATH, HOME: dir.path } };
  const { stderr } = await promisify(execFile)('sh', [script, ...files, ...words], options).catch(
    error => error,
  );
  return stderr.replaceAll(dir.path, '/etc/quarry/get');
}

showMoments('On a host', {
  'nothing is set up': () => run('--conf', 'no-such'),
  'an option of quarry-get is misspelt': () => run('--sever', 'http://quarry:1313', 'www.example.org'),
  "the server's URL is missing": () => run('www.example.org'),
  "the key's file is missing": () =>
    run('--server', 'http://quarry:1313', '--hmac-key-file', '/etc/quarry/get.key', 'www.example.org'),
  'the server does not answer': async () => {
    const port = await freePort();
    const said = await run('--server', `http://127.0.0.1:${port}`, '--wait', '1', 'www.example.org');
    return said.replaceAll(`${port}`, '1313');
  },
});
