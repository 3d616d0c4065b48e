import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { assertChain } from '../support/chain.ts';
import { startChalltestsrv } from '../support/challtestsrv.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { startNginx } from '../support/nginx.ts';
import { shownBlock } from '../support/pages.ts';
import { provision } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const dir = await tempDir();
const shown = join(dir.path, 'acme-challenge');
await mkdir(shown);

async function script(name: string, text: string): Promise<string> {
  const path = join(dir.path, name);
  await writeFile(path, text);
  await chmod(path, 0o700);
  return path;
}

/** As the page shows it, but for where the files are. */
const pageScript = (name: string, block: string) => script(name, block.replace('/mnt/acme-challenge', shown));

const prove = await pageScript(
  'prove-challenge',
  shownBlock('shared/solver/program.md', 'bash', 'echo $key'),
);
const clean = await pageScript('clean-up', shownBlock('shared/solver/program.md', 'bash', 'rm -f'));
const fail = await script('fail', '#!/bin/sh\nread token\nread key\necho "no room for $key" >&2\nexit 28\n');

/** Hangs when it is run for the first time. */
const hang = await script(
  'hang',
  `#!/bin/sh
read token
read key
if mkdir ${dir.path}/hung; then echo $$ >${dir.path}/hung/pid; sleep 600; fi
echo $key >${shown}/$token
`,
);

/**
 * What a DNS provider's API is to others, and what answers on port 443, is here a program of Pebble's own.
 */
const tlsPort = await freePort();
const challtestsrv = await startChalltestsrv({ tlsPort });
const { curl } = await provision(['curl']);
const tell = (url: string, body: string) => `${curl} -sSf -d "${body}" ${url}`;

const port = await freePort();
const nginx = await startNginx(
  `server {
    listen 127.0.0.1:${port};
    server_name ~(?<vhost>.*);

    location ~\\/\\.well-known\\/acme-challenge\\/(.*) {
        alias ${shown}/$1;
    }
}`,
  port,
);

const fleet = await startFleet({ roles: [], pebble: { tlsPort } });
const setTxt = await script(
  'set-txt',
  `#!/bin/sh\n${tell(
    `${fleet.pebble.challtestsrvUrl}/set-txt`,
    '{\\"host\\": \\"$QUARRY_DNS_NAME.\\", \\"value\\": \\"$QUARRY_DNS_VALUE\\"}',
  )}\n`,
);
const serveTls = await script(
  'serve-tls',
  `#!/bin/sh\nread token\nread key\n${tell(
    `${challtestsrv.managementUrl}/add-tlsalpn01`,
    '{\\"host\\": \\"$QUARRY_IDENTIFIER\\", \\"content\\": \\"$key\\"}',
  )}\n`,
);

const blocks = `
[verification "records"]
type = program
challenge = dns-01
command = ${setTxt}

[auth "records"]
all = yes
domain = records.example
domain = *.records.example
verification = records

[verification "tls"]
type = program
challenge = tls-alpn-01
command = ${serveTls}

[auth "tls"]
all = yes
domain = *.tls.example
verification = tls

[verification "script"]
type = program
challenge = http-01
command = ${prove}

[verification "tidy"]
type = program
challenge = http-01
command = ${prove}
cleanup-command = ${clean}

[verification "broken"]
type = program
challenge = http-01
command = ${fail}

[verification "hanging"]
type = program
challenge = http-01
command = ${hang}

[auth "hanging"]
all = yes
domain = *.hanging.example
verification = hanging

[auth "script"]
all = yes
domain = *.script.example
verification = script

[auth "tidy"]
all = yes
domain = *.tidy.example
verification = tidy

[auth "broken"]
all = yes
domain = *.broken.example
verification = broken
`;
await Promise.all((['intake', 'worker', 'responder'] as const).map(role => fleet.start(role, { blocks })));
fleet.front.add(`http://127.0.0.1:${port}`);
after(async () => {
  await fleet[Symbol.asyncDispose]();
  await challtestsrv[Symbol.asyncDispose]();
  await nginx[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

/** Whoever has inherited what was killed may take a moment to notice. */
function isGone(pid: number): boolean {
  try {
    return !process.kill(pid, 0);
  } catch {
    return true;
  }
}

async function sign(...names: string[]) {
  const { csrPem, keyPem } = await makeCsr({ names });
  return { ...(await fleet.post(csrPem)), keyPem, names };
}

test("the script of concorde's README proves names to the CA as it is, behind nginx", async () => {
  const { status, body, keyPem, names } = await sign('a.script.example', 'b.script.example');
  assert.equal(status, 200, body);
  assertChain(body, { names, keyPem, rootPem: await fleet.pebble.rootPem() });
  assert.equal((await readdir(shown)).length, 2, 'without a cleanup-command the files remain');
});

test('a program proves a wildcard and its base name by dns-01, with what its environment says', async () => {
  const { status, body, keyPem, names } = await sign('records.example', '*.records.example');
  assert.equal(status, 200, body);
  assertChain(body, { names, keyPem, rootPem: await fleet.pebble.rootPem() });
});

test('a program proves a name by tls-alpn-01', async () => {
  const { status, body, keyPem, names } = await sign('a.tls.example');
  assert.equal(status, 200, body);
  assertChain(body, { names, keyPem, rootPem: await fleet.pebble.rootPem() });
});

test('a cleanup-command removes what the command made', async () => {
  const before = (await readdir(shown)).length;
  assert.equal((await sign('a.tidy.example', 'b.tidy.example', 'c.tidy.example')).status, 200);
  assert.equal((await readdir(shown)).length, before);
});

test('a client is told why the program failed, in its own last words without the key authorization', async () => {
  const { status, body } = await sign('a.broken.example');
  assert.equal(status, 421);
  assert.equal(
    body,
    'a.broken.example: the program of verification "broken" ended with exit code 28: no room for …\n',
  );
});

test('a worker that is stopped ends its program, and another worker runs it anew', async () => {
  const posted = sign('a.hanging.example');
  let pid = 0;
  await waitUntil('the program to run', async () => {
    pid = Number(await readFile(join(dir.path, 'hung/pid'), 'utf8'));
    return pid > 0;
  });
  const [worker] = fleet.all('worker');
  await worker?.stop();
  await waitUntil('its process group to be gone', () => isGone(-pid));
  await fleet.start('worker', { blocks });
  const { status, body } = await posted;
  assert.equal(status, 200, body);
});
