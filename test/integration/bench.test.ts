import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { startFakeCa } from '../bench/fake-ca.ts';
import { checkOut } from '../bench/other-tree.ts';
import { countCommands } from '../bench/redis-commands.ts';
import { openStockClient } from '../bench/stock-client.ts';
import { startProcess } from '../support/processes.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';

// The parts of the benchmarks that have to do with other programs.

const run = promisify(execFile);

test('commands to Redis are counted as clients send them, without those that a script calls', async () => {
  await using server = await startRedis();
  const redis = new Redis(server.url);
  const commands = await countCommands(server.url, async () => {
    for (let index = 0; index < 5; index++) await redis.set(`key-${index}`, index);
    await redis.eval("for i = 1, 9 do redis.call('INCR', KEYS[1]) end", 1, 'counter');
  });
  redis.disconnect();
  assert.equal(commands, 6);
});

suite('the fake CA', () => {
  /** Answers every challenge like this, and counts. */
  async function startResponder(answer: (token: string) => string, status = 200) {
    let fetches = 0;
    const server = createServer((request, response) => {
      fetches++;
      response.statusCode = status;
      response.end(answer(request.url?.split('/').at(-1) ?? ''));
    }).listen(0, '127.0.0.1');
    await new Promise(done => server.once('listening', done));
    const { port } = server.address() as AddressInfo;
    return { port, fetches: () => fetches, [Symbol.dispose]: () => void server.close() };
  }

  /** As far as the order is ready, by a stock client. */
  async function order(ca: { directoryUrl: string; caFile: string }): Promise<string> {
    const client = await openStockClient(ca);
    const made = await client.createOrder({ identifiers: [{ type: 'dns', value: 'www.bench.example' }] });
    const [authorization] = await client.getAuthorizations(made);
    const [challenge] = authorization?.challenges ?? [];
    assert.ok(challenge);
    await client.completeChallenge(challenge);
    return (await client.getOrder(made)).status;
  }

  test('fetches each challenge three times before the order is ready', async () => {
    using responder = await startResponder(token => `${token}.thumbprint`);
    await using ca = await startFakeCa({ chainOf: () => 'chain', fetchFrom: responder.port });
    assert.equal(await order(ca), 'ready');
    assert.equal(responder.fetches(), 3);
    assert.equal(await order(ca), 'ready');
    assert.equal(responder.fetches(), 6);
  });

  test('has the order of a challenge that was answered wrongly invalid', async () => {
    using responder = await startResponder(() => 'another.thumbprint');
    await using ca = await startFakeCa({ chainOf: () => 'chain', fetchFrom: responder.port });
    assert.equal(await order(ca), 'invalid');
    using refusing = await startResponder(token => `${token}.thumbprint`, 404);
    await using other = await startFakeCa({ chainOf: () => 'chain', fetchFrom: refusing.port });
    assert.equal(await order(other), 'invalid');
  });

  test('takes a request in pieces, and answers the next one on the same connection', async () => {
    await using ca = await startFakeCa({ chainOf: () => 'chain' });
    const { port } = new URL(ca.directoryUrl);
    const socket = connect({ port: Number(port), ca: await readFile(ca.caFile) }).setEncoding('utf8');
    const identifiers = [{ type: 'dns', value: 'www.bench.example' }];
    const payload = Buffer.from(JSON.stringify({ identifiers })).toString('base64url');
    const body = JSON.stringify({ payload });
    const head = `POST /new-order HTTP/1.1\r\ncontent-length: ${body.length}\r\n\r\n`;
    for (const number of [1, 2]) {
      const answered = once(socket, 'data');
      for (const piece of [head.slice(0, 9), head.slice(9) + body.slice(0, 9), body.slice(9)])
        await new Promise(done => socket.write(piece, done));
      assert.match(
        String(await answered),
        new RegExp(`^HTTP/1.1 201 .*\r\nLocation: .*/order/${number}\r\n`, 's'),
      );
    }
    socket.destroy();
    assert.deepEqual(ca.ordered(), ['www.bench.example', 'www.bench.example']);
  });
});

suite('the tree of another commit', () => {
  const git = (dir: string, ...args: string[]) =>
    run('git', ['-C', dir, '-c', 'user.name=test', '-c', 'user.email=test@bench.example', ...args]);

  /** Two commits, of which the second changes `file`, and packages that git does not know. */
  async function makeRepository() {
    const dir = await tempDir();
    const write = (name: string, text: string) => writeFile(join(dir.path, name), text);
    await git(dir.path, 'init', '--quiet');
    await write('.gitignore', 'node_modules/\n');
    await write('package-lock.json', '{}');
    for (const text of ['first', 'second']) {
      await write('file', text);
      await git(dir.path, 'add', '.');
      await git(dir.path, 'commit', '--quiet', '-m', `the ${text} one`);
    }
    await mkdir(join(dir.path, 'node_modules'));
    await write('node_modules/package', 'ours');
    return dir;
  }

  const worktrees = async (dir: string) =>
    (await git(dir, 'worktree', 'list', '--porcelain')).stdout
      .split('\n')
      .filter(line => line.startsWith('worktree'));

  test('is checked out with the packages of this one, and goes without a trace', async () => {
    await using repository = await makeRepository();
    const tree = await checkOut(repository.path, 'HEAD~1', () => assert.fail('nothing is installed'));
    assert.match(tree.commit, /^[0-9a-f]{7,} the first one$/);
    assert.equal(await readFile(join(tree.root, 'file'), 'utf8'), 'first');
    assert.equal(await readFile(join(tree.root, 'node_modules/package'), 'utf8'), 'ours');
    assert.equal((await worktrees(repository.path)).length, 2);
    await tree[Symbol.asyncDispose]();
    await assert.rejects(access(tree.root));
    assert.equal((await worktrees(repository.path)).length, 1);
    assert.equal(await readFile(join(repository.path, 'node_modules/package'), 'utf8'), 'ours');
  });

  test('goes, too, when the process exits in the middle', async () => {
    await using repository = await makeRepository();
    const module = JSON.stringify(join(import.meta.dirname, '../bench/other-tree.ts'));
    const script = `const { checkOut } = await import(${module});
      const tree = await checkOut(${JSON.stringify(repository.path)}, 'HEAD', () => {});
      console.log('tree=' + tree.root + ';');
      process.exit(3);`;
    const running = await startProcess(process.execPath, ['--input-type=module', '-e', script], {
      name: 'a comparison',
      ready: /tree=.*;/,
    });
    assert.equal(await running.exited, 3);
    await assert.rejects(access(/tree=(.*);/.exec(running.output())?.[1] ?? '/'));
    assert.equal((await worktrees(repository.path)).length, 1);
  });

  test('a word that is no commit is refused in one line', async () => {
    await using repository = await makeRepository();
    await assert.rejects(
      checkOut(repository.path, 'v99', () => {}),
      {
        message: 'there is no commit v99',
      },
    );
  });
});
