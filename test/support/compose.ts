import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../../shared/base/errors.ts';
import { makeCsr } from './csr.ts';
import { type ComposeStack, type Container, findCompose, startComposeStack } from './demo/compose-stack.ts';
import { runCommand } from './demo/run-command.ts';
import { provision } from './provision.ts';
import { withTrail } from './shipped-config.ts';
import { tempDir } from './temp-dir.ts';
import { waitUntil } from './wait-until.ts';

// `npm run test:compose`: the demo of compose.yaml, scaled, issues certificates while parts of it are taken
// away. With `-- --if-available`, a machine without a container engine is no failure.

const scale = { worker: 3, responder: 2, intake: 2 };
const certificates = 20;
const atOnce = 6;
/** So many have their certificate when a worker and a responder go. */
const inPeace = 5;

const shipped = join(import.meta.dirname, '..', '..', 'services', 'main.ini');

/** What a host does, as in operation.md; no second try. */
const post = `curl -sS --fail-with-body --max-time 120 --data-binary @"$CSR" -o "$CHAIN" "$URL/sign" \\
  -H "Authentication: hmac name=sha256, hash=$(openssl dgst -sha256 -hmac "$KEY" "$CSR" | sed 's/.*= *//')" ||
  { echo "$(cat "$CHAIN")" >&2; exit 1; }`;

/** Issued by Pebble, for this name and this key. */
const verify = `openssl verify -CAfile "$ROOT" -untrusted "$CHAIN" -verify_hostname "$NAME" "$CHAIN"
test "$(openssl x509 -in "$CHAIN" -noout -pubkey)" = "$(openssl req -in "$CSR" -noout -pubkey)"`;

const started = performance.now();
const seconds = (since: number) => ((performance.now() - since) / 1000).toFixed(1);
const print = (text: string) => process.stdout.write(`${seconds(started).padStart(6)}  ${text}\n`);

type Tally = { passed: number; failed: number };

async function testStack(compose: [string, ...string[]], signal: AbortSignal): Promise<Tally> {
  await provision(['openssl', 'curl']);
  await using dir = await tempDir();
  const replicas = Object.entries(scale).map(([service, count]) => `${service} ${count}`);
  print(`building the image and starting the demo with ${compose.join(' ')}: ${replicas.join(', ')}`);
  await using stack = await startComposeStack(compose, {
    scale,
    config: await writeConfig(dir.path),
    signal,
  });
  print('all of it is healthy');

  const tally = { passed: 0, failed: 0 };
  await check(tally, 'the running containers: no root, no rights, nothing to write to', () =>
    checkFences(stack),
  );

  await check(tally, 'a child that a program leaves behind: somebody waits for it', () =>
    checkOrphans(stack),
  );
  await check(tally, 'Redis: a user for each role, and nobody else gets in', () => checkUsers(stack));
  await check(tally, 'networks: a way out for those that need one', () => checkNetworks(stack));
  await check(tally, 'the responder: neither accounts nor keys in its configuration', () =>
    checkResponder(stack),
  );

  await check(tally, 'the ACME server: its directory and a nonce, through nginx', () =>
    checkAcmeServer(stack),
  );

  await check(tally, 'quarry-get: a host gets its certificate by it, as an intake hands it out', () =>
    checkQuarryGet(stack, dir.path),
  );

  const sign = await openSigner(stack, dir.path, signal);
  const names = Array.from({ length: certificates }, (_, index) => `host${index + 1}.example.org`).values();
  const peaceEnds = Promise.withResolvers<void>();
  const host = async () => {
    for (const name of names) {
      await check(tally, name, () => sign(name));
      signal.throwIfAborted();
      if (tally.passed + tally.failed >= inPeace) peaceEnds.resolve();
    }
  };
  await Promise.all([
    ...Array.from({ length: atOnce }, host),
    peaceEnds.promise.then(() => takeSomeAway(stack)),
  ]);
  await check(tally, 'the trail: every certificate is in its files, as it was sealed', () =>
    checkTrail(stack),
  );
  await tellShares(stack);
  if (tally.failed > 0) process.stdout.write(await stack.logs());
  print('taking all of it down');
  return tally;
}

async function check(tally: Tally, what: string, act: () => Promise<void>): Promise<void> {
  const since = performance.now();
  try {
    await act();
    tally.passed++;
    print(`ok      ${what} (${seconds(since)} s)`);
  } catch (error) {
    tally.failed++;
    print(`FAILED  ${what} (${seconds(since)} s): ${error instanceof Error ? error.message : error}`);
  }
}

/** What compose.yaml promises of every container that stays; one that runs once is gone by now. */
async function checkFences(stack: ComposeStack): Promise<void> {
  const gaps = (await stack.containers())
    .filter(({ State }) => State.Status === 'running')
    .flatMap(container => findGaps(container).map(gap => `${container.Name} ${gap}`));
  if (gaps.length > 0) throw new Error(gaps.join(', '));
}

function findGaps({ Config, HostConfig: { ReadonlyRootfs, CapDrop, SecurityOpt } }: Container): string[] {
  return [
    ...(/^(|root|0)(:|$)/.test(Config.User) ? ['runs as root'] : []),
    ...(ReadonlyRootfs ? [] : ['may write to its file system']),
    ...(CapDrop?.includes('ALL') ? [] : ['has capabilities']),
    ...(SecurityOpt?.some(option => option.startsWith('no-new-privileges')) ? [] : ['may gain privileges']),
  ];
}

const roles = ['intake', 'worker', 'scheduler', 'responder'];

/** Runs a command in the first container of a service. */
async function inside(stack: ComposeStack, service: string, ...command: string[]): Promise<string> {
  const [container] = await stack.containers(service);
  return runCommand(['docker', 'exec', container?.Id ?? '', ...command]);
}

/** As a program does that goes on in the background: process 1 becomes the parent of its children. */
async function checkOrphans(stack: ComposeStack): Promise<void> {
  await inside(stack, 'worker', 'bash', '-c', '(sleep 0.1 & sleep 0.1 &)');
  const states = () => inside(stack, 'worker', 'bash', '-c', 'cat /proc/[0-9]*/stat');
  await waitUntil('its children to end', async () => !/ \(sleep\) [^Z]/.test(await states()));
  if (/ \(sleep\) Z/.test(await states())) throw new Error('defunct children stay');
}

/** Each role sees one password, which no other role has. */
async function checkUsers(stack: ComposeStack): Promise<void> {
  const refused = await inside(stack, 'redis', 'sh', '-c', 'redis-cli keys "*" 2>&1');
  if (!refused.includes('NOAUTH')) throw new Error(`Redis says ${refused}`);
  const passwords = await Promise.all(
    roles.map(role => inside(stack, role, 'sh', '-c', 'cd /run/quarry/redis && ls && cat *')),
  );
  for (const text of passwords) {
    if (!/^password\n[\w-]{43}\n$/.test(text)) throw new Error('a role has not one password');
  }
  if (new Set(passwords).size < roles.length) throw new Error('two roles have the same password');
}

async function checkNetworks(stack: ComposeStack): Promise<void> {
  const withWayOut = await Promise.all(
    [...roles, 'redis'].map(async service => {
      const [container] = await stack.containers(service);
      const names = Object.keys(container?.NetworkSettings.Networks ?? {});
      return names.some(name => name.endsWith('_default')) ? service : undefined;
    }),
  );
  const found = withWayOut.filter(service => service !== undefined).join(', ');
  if (found !== 'worker, scheduler') throw new Error(`a way out have: ${found}`);
}

async function checkResponder(stack: ComposeStack): Promise<void> {
  const text = await inside(stack, 'responder', 'cat', '/etc/quarry/main.ini');
  if (/account|hmac|change-me/.test(text) || !/^type = http01$/m.test(text)) throw new Error(text);
}

async function checkAcmeServer(stack: ComposeStack): Promise<void> {
  const { newNonce = '' } = await (await fetch(`${stack.url}/acme/directory`)).json();
  if (newNonce !== 'http://127.0.0.1:1313/acme/new-nonce') throw new Error(`newNonce is ${newNonce}`);
  const { status, headers } = await fetch(`${stack.url}/acme/new-nonce`, { method: 'HEAD' });
  if (status !== 200 || !headers.has('Replay-Nonce')) throw new Error(`newNonce answers ${status}`);
}

/** What a host does, as in hosts.md; the demo's own URL is that of another port. */
const get = `curl -fsS "$URL/quarry-get" -o quarry-get
grep -q "^SERVER='http://127.0.0.1:1313' " quarry-get
umask 077 && printf '%s\\n' "$KEY" >get.key
sh quarry-get --server "$URL" --hmac-key-file "$PWD/get.key" --key "$PWD/get.example.org.key" \\
  --chain "$PWD/get.example.org.pem" get.example.org`;

async function checkQuarryGet(stack: ComposeStack, folder: string): Promise<void> {
  const env = { URL: stack.url, KEY: await readKey() };
  const said = await runCommand(['sh', '-euc', `cd "$0"\n${get}`, folder], { env });
  if (!said.includes('a new certificate is in')) throw new Error(said);
}

const readKey = async () => /^hmac_key *= *(.+)$/m.exec(await readFile(shipped, 'utf8'))?.[1];

/** The configuration as it ships, with a trail. */
async function writeConfig(dir: string): Promise<string> {
  const file = join(dir, 'main.ini');
  await chmod(dir, 0o755); // Quarry runs as another user
  await writeFile(file, withTrail(await readFile(shipped, 'utf8')));
  return file;
}

async function checkTrail(stack: ComposeStack): Promise<void> {
  const count = 'cat /var/lib/quarry/trail/*.jsonl | grep -c \'"event":"issued"\' || true';
  const issued = async () => Number(await inside(stack, 'scheduler', 'sh', '-c', count));
  await waitUntil('all that was issued to be sealed', async () => (await issued()) >= certificates);
  const verify = ['services/cli/quarry.js', 'trail', 'verify', '/etc/quarry/main.ini'];
  const said = await inside(stack, 'scheduler', 'node', ...verify);
  if (!/^ok /m.test(said)) throw new Error(said);
}

/** @returns gets a host of that name its certificate and verifies it */
async function openSigner(
  stack: ComposeStack,
  dir: string,
  signal: AbortSignal,
): Promise<(name: string) => Promise<void>> {
  const [intake] = await stack.containers('intake');
  const key = await readKey();
  const [caFile, rootFile] = [join(dir, 'ca.pem'), join(dir, 'root.pem')];
  await writeFile(
    caFile,
    await runCommand(['docker', 'exec', intake?.Id ?? '', 'cat', '/var/lib/quarry-demo/ca.pem']),
  );
  await runCommand(['curl', '-sSf', '--cacert', caFile, '-o', rootFile, `${stack.pebbleUrl}/roots/0`]);

  return async name => {
    const { csrFile } = await makeCsr({ names: [name] });
    const [CSR, CHAIN] = [csrFile, join(dir, `${name}.pem`)];
    const env = { CSR, CHAIN, KEY: key, NAME: name, ROOT: rootFile, URL: stack.url };
    await runCommand(['bash', '-euo', 'pipefail', '-c', `${post}\n${verify}`], { env, signal });
  };
}

/**
 * A worker without warning, whose orders the others have to find and finish; a responder as an operator stops
 * one.
 */
async function takeSomeAway(stack: ComposeStack): Promise<void> {
  const [[worker], [responder]] = await Promise.all([
    stack.containers('worker'),
    stack.containers('responder'),
  ]);
  const act = async (verb: string, container: Container | undefined) => {
    await runCommand(['docker', verb, container?.Id ?? '']);
    print(`docker ${verb} ${container?.Name.slice(1)}`);
  };
  await Promise.all([act('kill', worker), act('stop', responder)]);
}

/** Which replica did how much. */
async function tellShares(stack: ComposeStack): Promise<void> {
  const shares = { intake: '"status":200', worker: '"msg":"certificate issued"' };
  for (const [service, sign] of Object.entries(shares)) {
    const counts = (await stack.containers(service)).map(async ({ Name, Id }) => {
      const log = await runCommand(['sh', '-c', `docker logs ${Id} 2>&1`]);
      return `${Name.slice(1)} ${log.split(sign).length - 1}`;
    });
    print(`certificates by ${service}: ${(await Promise.all(counts)).join(', ')}`);
  }
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    print('stopping: taking down what was started');
    stop.abort(new Error(`stopped by ${signal}`));
  });
}

try {
  const compose = await findCompose();
  if (compose) {
    const { passed, failed } = await testStack(compose, stop.signal);
    process.stdout.write(`${passed} passed, ${failed} failed\n`);
    process.exitCode = failed > 0 ? 1 : 0;
  } else {
    process.stdout.write(
      'test:compose needs a container engine and docker compose (or docker-compose): not run\n',
    );
    process.exitCode = process.argv.includes('--if-available') ? 0 : 1;
  }
} catch (error) {
  process.stderr.write(`test:compose: ${describeError(error)}\n`);
  process.exitCode = 1;
}
