import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '../support/free-port.ts';
import { listen } from '../support/listen.ts';
import { root } from '../support/read-sources.ts';

/** Runs the health check of a container. */
function checkHealth(port: number): Promise<{ code: number; stdout: string }> {
  const words = [join(root, 'services', 'ready.sh'), '127.0.0.1', `${port}`];
  return new Promise(done => {
    execFile('bash', words, (error, stdout) => done({ code: error ? Number(error.code) : 0, stdout }));
  });
}

test("a container's health is what /readyz says, without a process of Node's", async () => {
  const answers = [
    { status: 200, body: 'ready\nworker: account a: cannot be reached\n' },
    { status: 503, body: 'worker: no account yet\n\nworker: nor later\n' },
  ];
  for (const { status, body } of answers) {
    await using admin = await listen(({ url }, response) => {
      response.writeHead(url === '/readyz' ? status : 404).end(body);
    });
    assert.deepEqual(await checkHealth(admin.port), { code: status === 200 ? 0 : 1, stdout: body });
  }
  assert.deepEqual(await checkHealth(await freePort()), { code: 1, stdout: '' });
});

test('in compose.yaml each of our containers has a process 1 that waits for children left behind', async () => {
  const text = await readFile(join(root, 'compose.yaml'), 'utf8');
  const ours = text.match(/^ +build: \.$/gm)?.length;
  assert.equal(ours, 2); // what all roles share, and `prepare`
  assert.equal(text.match(/^( +)build: \.\n(?:\1#.*\n)*\1init: true$/gm)?.length, ours);
  assert.match(text, /test: \[CMD, bash, services\/ready\.sh\]/);
});
