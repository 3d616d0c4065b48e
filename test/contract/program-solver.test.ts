import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, suite, test } from 'node:test';
import type { Log } from '../../shared/base/basics.ts';
import { toDns01Record } from '../../shared/solver/dns01-record.ts';
import { openProgramSolver, type ProgramConfig } from '../../shared/solver/program.ts';
import { listen } from '../support/listen.ts';
import { quietLog } from '../support/quiet-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { newResponse, type OpenedSolver, solverContract } from './solver.contract.ts';

const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const { signal } = new AbortController();
let folders = 0;

type Scripts = { command: string; cleanup?: string };

/** Scripts in a folder of their own, opened as a verification. */
async function open(challenge: ProgramConfig['challenge'], scripts: Scripts, log: Log = quietLog) {
  const folder = join(dir.path, `${++folders}`);
  await mkdir(join(folder, 'shown'), { recursive: true });
  for (const [name, text] of Object.entries(scripts)) {
    await writeFile(join(folder, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(folder, name), 0o700);
  }
  const file = (name: string) => ({ path: join(folder, name), place: {} });
  const config: ProgramConfig = {
    ...{ name: 'script', type: 'program', challenge, folder, timeout: 300_000, command: file('command') },
    ...(scripts.cleanup !== undefined && { cleanup: file('cleanup') }),
  };
  return { folder, openSolver: () => openProgramSolver(config, { log }) };
}

/** A folder that a web server shows. */
async function openHttp(): Promise<OpenedSolver> {
  const { folder, openSolver } = await open('http-01', {
    command: 'read token\nread key_authorization\necho $key_authorization >shown/$token',
    cleanup: 'read token\nrm -f shown/$token',
  });
  const server = await listen(async (request, response) => {
    const text = await readFile(join(folder, 'shown', basename(request.url ?? '')), 'utf8').catch(
      () => undefined,
    );
    response.writeHead(text === undefined ? 404 : 200).end(text);
  });
  return {
    solver: openSolver(),
    other: openSolver(),
    async sees({ token, keyAuthorization }) {
      const answer = await fetch(`${server.url}/.well-known/acme-challenge/${token}`);
      return answer.status === 200 && (await answer.text()).trimEnd() === keyAuthorization;
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A file for each record, as a DNS server would hold it. */
async function openDns(): Promise<OpenedSolver> {
  const { folder, openSolver } = await open('dns-01', {
    command: 'mkdir -p shown/$QUARRY_DNS_NAME && : >shown/$QUARRY_DNS_NAME/$QUARRY_DNS_VALUE',
    cleanup: 'rm -f shown/$QUARRY_DNS_NAME/$QUARRY_DNS_VALUE',
  });
  return {
    solver: openSolver(),
    other: openSolver(),
    async sees(response) {
      const { name, value } = toDns01Record(response);
      return (await readdir(join(folder, 'shown', name)).catch((): string[] => [])).includes(value);
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

const name = { type: 'dns', value: 'example.org' } as const;
const wildcard = { type: 'dns', value: '*.example.org' } as const;
const address = { type: 'ip', value: '192.0.2.1' } as const;

solverContract(
  'program (http-01)',
  { challengeType: 'http-01', provable: [name, address], unprovable: [wildcard] },
  openHttp,
);
solverContract(
  'program (dns-01)',
  { challengeType: 'dns-01', provable: [name, wildcard], unprovable: [address] },
  openDns,
);

suite('program solver', () => {
  test('tells a program what the challenge is, in its environment too', async () => {
    const { folder, openSolver } = await open('dns-01', {
      command: 'cat >in; env | grep ^QUARRY | sort >env',
    });
    const response = { ...newResponse(), identifier: wildcard };
    await openSolver().present(response, signal);
    assert.equal(
      await readFile(join(folder, 'in'), 'utf8'),
      `${response.token}\n${response.keyAuthorization}\n`,
    );
    const lines = (await readFile(join(folder, 'env'), 'utf8')).split('\n');
    assert.match(
      lines.find(line => line.startsWith('QUARRY_DNS_VALUE=')) ?? '',
      /^QUARRY_DNS_VALUE=[\w-]{43}$/,
    );
    assert.deepEqual(
      lines.filter(line => !line.startsWith('QUARRY_DNS_VALUE=')),
      [
        'QUARRY_CHALLENGE=dns-01',
        'QUARRY_DNS_NAME=_acme-challenge.example.org',
        'QUARRY_IDENTIFIER=*.example.org',
        '',
      ],
    );
  });

  test('tells the name and what the program said last, but no key authorization', async () => {
    const { openSolver } = await open('http-01', {
      command: 'read token; read key; echo "$key: full" >&2; exit 28',
    });
    await assert.rejects(openSolver().present(newResponse(), signal), {
      name: 'IssuanceError',
      code: 'challengeFailed',
      message: 'example.org: the program of verification "script" ended with exit code 28: …: full',
    });
  });

  test('logs a cleanup that fails, and goes on', async () => {
    const told: unknown[] = [];
    const log = { ...quietLog, warn: (...words: unknown[]) => told.push(words) } as unknown as Log;
    const { openSolver } = await open('http-01', { command: '', cleanup: 'cat >&2; exit 1' }, log);
    const response = newResponse();
    await openSolver().withdraw(response, signal);
    assert.equal(told.length, 1);
    assert.match(JSON.stringify(told), /cleanup-command failed/);
    assert.ok(!JSON.stringify(told).includes(response.keyAuthorization));
  });

  test("ends what it runs when its signal fires, with the signal's reason", async () => {
    const { openSolver } = await open('http-01', { command: 'sleep 600', cleanup: 'sleep 600' });
    const reason = new Error('the worker has stopped');
    await assert.rejects(openSolver().present(newResponse(), AbortSignal.abort(reason)), reason);
    const stop = new AbortController();
    const withdrawing = openSolver().withdraw(newResponse(), stop.signal);
    stop.abort(reason);
    await assert.rejects(withdrawing, reason);
  });

  test('runs no more than 16 programs at once', async () => {
    const { folder, openSolver } = await open('http-01', {
      command: 'read token; : >shown/$token; ls shown | wc -l >>counts; sleep 0.3; rm shown/$token',
    });
    const solver = openSolver();
    await Promise.all(Array.from({ length: 40 }, () => solver.present(newResponse(), signal)));
    const counts = (await readFile(join(folder, 'counts'), 'utf8')).trim().split('\n').map(Number);
    assert.equal(counts.length, 40);
    assert.ok(Math.max(...counts) <= 16, `${Math.max(...counts)}`);
  });
});
