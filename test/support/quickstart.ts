import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify, styleText } from 'node:util';
import { describeError } from '../../shared/base/errors.ts';
import { freePorts } from './free-port.ts';
import { startPebble } from './pebble.ts';
import { startProcess } from './processes.ts';
import { provision } from './provision.ts';
import { tempDir } from './temp-dir.ts';

// Quarry's main job on real parts, told step by step: `npm run quickstart`, or with `-- --keep` to leave it
// running.

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const keep = process.argv.includes('--keep');

const print = (text: string) => process.stdout.write(`${text}\n`);
let count = 0;
const step = (text: string) => print(`\n${styleText('bold', `${++count}. ${text}`)}`);
const indent = (text: string) => text.trimEnd().replace(/^/gm, '     ');

async function quickstart(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await tempDir());

  step('Finding the parts: Redis, Pebble (an ACME server for tests), openssl, curl');
  const parts = await provision(['redis-server', 'pebble', 'pebble-challtestsrv', 'openssl', 'curl'], print);
  for (const [name, path] of Object.entries(parts)) print(`   ${name}: ${path}`);

  const [intake, responder, admin] = (await freePorts(3)) as [number, number, number];
  step('Starting the CA: Pebble, and a DNS server that resolves every name to this machine');
  const pebble = stack.use(await startPebble({ httpPort: responder }));
  print(`   it lists what it can do at ${pebble.directoryUrl}`);

  const key = randomBytes(24).toString('base64url');
  await writeFile(join(dir, 'main.ini'), configuration({ dir, intake, responder, admin, key, ...pebble }));
  step('Starting Quarry: intake, worker and responder in one process, with a private Redis');
  print(`   npx quarry up ${dir}/main.ini`);
  const quarry = stack.use(
    await startProcess(
      process.execPath,
      [join(root, 'services/cli/quarry.js'), 'up', join(dir, 'main.ini')],
      {
        name: 'quarry',
        cwd: dir,
        ready: async () => (await fetch(`http://127.0.0.1:${admin}/readyz`)).ok,
      },
    ),
  );
  print('   it has made its account key and an account at the CA, and is ready');

  const shell = async (command: string) => {
    print(`   $ ${command.replaceAll('\n', '\n     ')}`);
    return (
      await run('bash', ['-euo', 'pipefail', '-c', command], { cwd: dir, env: { ...process.env, KEY: key } })
    ).stdout;
  };

  step('A host makes a key and a CSR; the key never leaves it');
  await shell(
    'openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout host.key \\\n  -subj /CN=www.example.org -addext subjectAltName=DNS:www.example.org,DNS:example.org -out host.csr',
  );

  step('It signs the CSR with its shared key (HMAC) and posts it');
  const post = `curl -sS --fail-with-body --data-binary @host.csr \\
  -H "Authentication: hmac name=sha256, hash=$(openssl dgst -sha256 -hmac "$KEY" host.csr | sed 's/.*= *//')" \\
  http://127.0.0.1:${intake}/sign -o host.pem.new && mv host.pem.new host.pem`;
  const first = await timed(() => shell(post));
  print(`   the certificate came after ${first.toFixed(2)} s. Meanwhile Quarry:`);
  print(indent(tellLog(quarry.output())));

  step('The host has a chain that leads to the root of the CA');
  await writeFile(join(dir, 'root.pem'), await pebble.rootPem());
  print(
    indent(await shell('openssl x509 -in host.pem -noout -subject -issuer -enddate -ext subjectAltName')),
  );
  print(indent(await shell('openssl verify -CAfile root.pem -untrusted host.pem host.pem')));
  await shell('test "$(openssl x509 -in host.pem -noout -pubkey)" = "$(openssl pkey -in host.key -pubout)"');

  step('The same CSR, posted again, is answered from storage: no new order at the CA');
  await shell('cp host.pem first.pem');
  const orders = () => pebble.requestLog().filter(line => line.includes('order-plz')).length;
  const before = orders();
  const second = await timed(() => shell(post));
  await shell('cmp first.pem host.pem');
  if (orders() !== before) throw new Error('the second post made an order');
  print(`   the same certificate, after ${second.toFixed(2)} s`);

  if (keep) {
    step('All of it stays up until Ctrl-C. Try it yourself:');
    print(`   cd ${dir} && export KEY=${key}\n   ${post.replaceAll('\n', '\n   ')}`);
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM'), quarry.exited]);
  }
  step('Stopping everything');
  const code = await quarry.stop();
  if (code !== 0) throw new Error(`quarry ended with exit code ${code}`);
  await stack.disposeAsync();
  print(styleText('green', '\nDone: a CSR went in, a certificate came out.'));
}

type Setting = {
  dir: string;
  intake: number;
  responder: number;
  admin: number;
  key: string;
  directoryUrl: string;
  caFile: string;
};

function configuration({ dir, intake, responder, admin, key, directoryUrl, caFile }: Setting): string {
  return `[account]
acme-server = ${directoryUrl}
ca-file = ${caFile}
accept-terms-of-service = yes
dir = ${dir}/account

[mgmt]
listener = 127.0.0.1:${intake}

[verification "http"]
type = http01
listener = 127.0.0.1:${responder}
# the names of this run lead here in Pebble's own DNS alone
self-check = off

[storage "file"]
type = file
directory = ${dir}/storage
# Pebble issues for 90 days or for 6, by chance
renew-within = 1
renew-ahead = yes

[auth "web"]
ip = 127.0.0.0/8
hmac_type = sha256
hmac_key = ${key}
domain = example.org
domain = *.example.org

[redis]
dir = ${dir}/quarry-data

[admin]
listener = 127.0.0.1:${admin}
`;
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await act();
  return (performance.now() - started) / 1000;
}

const tellings: Record<string, string> = {
  'order made': 'worker: ordered the certificate at the CA',
  'certificate issued': 'worker: proved the names, finalized the order, fetched and stored the chain',
  request: 'intake: answered the host',
};

function tellLog(output: string): string {
  return output
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as { msg: string; names?: string[] })
    .flatMap(({ msg, names }) => (tellings[msg] ? [`${tellings[msg]} (${names?.join(', ')})`] : []))
    .join('\n');
}

try {
  await quickstart();
} catch (error) {
  process.stderr.write(
    `\nquickstart: ${describeError(error)}\n${(error as { stderr?: string }).stderr ?? ''}`,
  );
  process.exitCode = 1;
}
