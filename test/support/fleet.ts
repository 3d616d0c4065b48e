import assert from 'node:assert/strict';
import { createHash, createPublicKey } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis as RedisClient } from 'ioredis';
import { type Answer, type AskOptions, ask, type HmacKey, signed } from './ask.ts';
import { type ChallengeFront, startChallengeFront } from './challenge-front.ts';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';
import { freePort } from './free-port.ts';
import { type Pebble, type PebbleOptions, startPebble } from './pebble.ts';
import { type Quarry, startQuarry } from './quarry.ts';
import { type Redis, startRedis } from './redis.ts';
import { type FleetRedisUsers, makeRedisUsers } from './redis-users.ts';
import type { ShiftedTime } from './shifted-time.ts';
import { tempDir } from './temp-dir.ts';
import { tlsAuthority } from './tls-authority.ts';

export type FleetRole = 'intake' | 'worker' | 'responder' | 'scheduler' | 'up';

/** Each Redis has a file for its users; the lines of `[redis]` lead to them. */
export type FleetServers = { nodes: Redis[]; lines: string };

/** What a role's configuration says; each text is lines of its section. */
export type RoleOptions = {
  account?: string;
  /** `wait` is 240 where it says nothing of it, so that a client that is held too long still hears why. */
  mgmt?: string;
  worker?: string;
  /** Whole sections: auth and storage blocks. */
  blocks?: string;
  /** Redis servers in place of one of the fleet's own. */
  servers?: FleetServers;
  /** A URL in place of the fleet's Redis; false: none is configured. */
  redisUrl?: string | false;
  /** More lines of `[redis]`. */
  redis?: string;
  ready?: 'ready' | 'alive';
  /** For Node, before the program. */
  nodeArgs?: string[];
  /** A file for the log, in place of standard error. */
  logFile?: string;
  /** It is not looked through for secrets. */
  logIsLost?: true;
  /** A command that starts the one after it, such as `prlimit`. */
  through?: string[];
  /** The URL of the directory that `[account]` names; that of the fleet's `ca` by default. */
  acmeServer?: string;
  /** Lines of `[account "second"]`, in place of its terms and its `dir`. */
  secondAccount?: string;
};

/** A Pebble of its own root, and what is in front of it. */
export type FleetCa = { pebble: Pebble; ca: FaultProxy; accountDir: string };

export type FleetOptions = RoleOptions & {
  /** That of its Redis; this machine's by default. */
  time?: ShiftedTime;
  /** The processes to start; by default one of each of the three. */
  roles?: FleetRole[];
  pebble?: Omit<PebbleOptions, 'httpPort'>;
  /**
   * Another CA, for `[account "second"]`. Where no `blocks` are given, it is ordered from after the first.
   */
  second?: { pebble?: Omit<PebbleOptions, 'httpPort' | 'dnsServer'> };
};

export type RoleProcess = Quarry & {
  /** Of the intake's POST, or of the responder's challenges. */
  url: string;
};

export type Fleet = AsyncDisposable & {
  /** For files of the configuration; `account` in it is the account directory. */
  dir: string;
  accountDir: string;
  /** Of the installation's secret, which its roles share. */
  secretFile: string;
  /** Of several, the first. */
  redis: Redis;
  /** A connection of the test's own to it. */
  redisClient: RedisClient;
  pebble: Pebble;
  /** In front of Pebble: the CA that the roles know. */
  ca: FaultProxy;
  /** The CA of `[account "second"]`; throws where there is none. */
  readonly second: FleetCa;
  /** In front of the responders: where each Pebble asks. */
  front: ChallengeFront;
  /** The running processes of a role, in the order in which they were started. */
  all(role: FleetRole): RoleProcess[];
  /** Starts one more; `options` replace the fleet's, key by key. */
  start(role: FleetRole, options?: RoleOptions): Promise<RoleProcess>;
  /** A configuration as the roles get it, without an admin listener. */
  ini(options?: RoleOptions): Promise<string>;
  /** Allows the Redis users of the roles what they need with this configuration, too. */
  allow(ini: string): Promise<void>;
  /** Posts to `/sign` of the first intake, or of `to`. */
  post(
    body: string | Buffer,
    options?: AskOptions & { hmac?: HmacKey; to?: RoleProcess | undefined },
  ): Promise<Answer>;
  /** How many orders the first Pebble was asked to make. */
  orders(): number;
  /**
   * Lets go on whatever a test holds, or makes the CA do; for `afterEach`, so that one failed test does not
   * hold up the next.
   */
  letGo(): Promise<void>;
  /** Breaks the validation of a name: it resolves to where nobody listens. */
  misdirect(name: string): Promise<void>;
  /** Texts that no role may have logged by the end, beyond those that the fleet knows of. */
  secrets: Set<string>;
};

/**
 * Redis, Pebble and Quarry's roles, each a process of its own, with one configuration. At the end it stops
 * all, and fails when a role's log holds a CSR, an HMAC, a key or a key authorization.
 */
export async function startFleet(options: FleetOptions = {}): Promise<Fleet> {
  await using started = new AsyncDisposableStack();
  const { path: dir } = started.use(await tempDir());
  const accountDir = join(dir, 'account');
  const secretFile = join(dir, 'installation.key');
  await mkdir(join(dir, 'storage'));
  const startOwn = async () =>
    started.use(
      await startRedis({
        appendonly: true,
        aclFile: join(dir, 'users.acl'),
        ...(options.time && { env: options.time.env }),
      }),
    );
  const servers = options.servers ?? toServers(await startOwn());
  const [redis] = servers.nodes;
  assert.ok(redis);
  const allUsers = new Map<Redis | undefined, Promise<FleetRedisUsers>>();
  const usersOf = ({ nodes }: FleetServers) => {
    const users = allUsers.get(nodes[0]) ?? makeRedisUsers(dir, nodes);
    allUsers.set(nodes[0], users);
    return users;
  };
  const users = await usersOf(servers);
  const front = started.use(await startChallengeFront());
  const pebble = started.use(await startPebble({ ...options.pebble, httpPort: front.port }));
  const ca = started.use(await startFaultProxy(pebble));
  const second = options.second && (await startSecond(options.second, { dir, front, pebble, started }));
  const redisClient = started.adopt(new RedisClient(redis.url, { lazyConnect: true }), client =>
    client.disconnect(),
  );
  redisClient.on('error', () => {}); // Tests stop Redis.
  const secrets = new Set<string>();
  const roles: { role: FleetRole; running: RoleProcess }[] = [];
  const roleStack = started.use(new AsyncDisposableStack());

  const fleet: Omit<Fleet, typeof Symbol.asyncDispose> = {
    dir,
    accountDir,
    secretFile,
    redis,
    redisClient,
    pebble,
    ca,
    get second() {
      assert.ok(second, 'the fleet has a second CA');
      return second;
    },
    front,
    secrets,
    all: wanted => roles.filter(({ role }) => role === wanted).map(({ running }) => running),
    allow: users.allow,
    async ini(own) {
      const ini = configuration({ ...options, ...own }, await listeners());
      await users.allow(ini);
      return ini;
    },
    async start(role, own = {}) {
      const merged = { ...options, ...own };
      const at = await listeners();
      const ini = configuration(merged, at);
      const { ready = 'ready', nodeArgs = [], through = [] } = merged;
      await (await usersOf(merged.servers ?? servers)).allow(ini);
      const quarry = roleStack.use(await startQuarry(role, ini, { ready, nodeArgs, through }));
      const scheme = merged.mgmt?.includes('tls-cert =') ? 'https' : 'http';
      const running = Object.assign(quarry, {
        url: role === 'responder' ? `http://${at.responder}` : `${scheme}://${at.mgmt}`,
      });
      roles.push({ role, running });
      quarry.exited.then(() => {
        const index = roles.findIndex(one => one.running === running);
        if (index >= 0) roles.splice(index, 1);
      });
      for (const secret of iniSecrets(ini)) secrets.add(secret);
      const { logFile, logIsLost } = merged;
      const output = () => (logFile === undefined ? quarry.output() : readFileSync(logFile, 'utf8'));
      if (!logIsLost) outputs.push({ name: role, output });
      if (role === 'responder' || role === 'up') front.add(`http://${at.responder}`);
      return running;
    },
    async post(body, { hmac, to, ...more } = {}) {
      const intake = to ?? fleet.all('intake')[0] ?? fleet.all('up')[0];
      assert.ok(intake, 'an intake runs');
      const headers = { ...(hmac && signed(body, hmac)), ...more.headers };
      for (const secret of requestSecrets(body, headers)) secrets.add(secret);
      const ca = readFileSync((await tlsAuthority()).caFile, 'utf8');
      return ask(`${intake.url}/sign`, { method: 'POST', body, ca, ...more, headers });
    },
    orders: () => pebble.requestLog().filter(line => line === 'POST /order-plz').length,
    async letGo() {
      front.release();
      for (const one of second ? [ca, second.ca] : [ca]) {
        one.clearRules();
        await one.comeBack();
      }
    },
    async misdirect(name) {
      const body = JSON.stringify({ host: `${name}.`, addresses: ['127.0.0.2'] });
      const { status } = await fetch(`${pebble.challtestsrvUrl}/add-a`, { method: 'POST', body });
      assert.equal(status, 200);
    },
  };
  const outputs: { name: string; output(): string }[] = [];

  async function listeners() {
    return { mgmt: `127.0.0.1:${await freePort()}`, responder: `127.0.0.1:${await freePort()}` };
  }

  const toLines = (url: string | undefined, { lines } = servers) =>
    url === undefined ? lines : `url = ${url}`;

  function configuration(options: RoleOptions, at: { mgmt: string; responder: string }): string {
    const { account, secondAccount, mgmt, worker, blocks, redisUrl, redis: moreRedis, logFile } = options;
    const accounts = second ? 'account = default, second' : '';
    return `[account]
acme-server = ${options.acmeServer ?? ca.directoryUrl}
ca-file = ${pebble.caFile}
${account ?? `accept-terms-of-service = yes\ndir = ${accountDir}`}
${second ? secondSection(second, secondAccount) : ''}
[mgmt]
listener = ${at.mgmt}
${mgmt?.includes('wait =') ? '' : 'wait = 240'}
${mgmt?.includes('secret-file =') ? '' : `secret-file = ${secretFile}`}
${mgmt ?? ''}
[verification "http"]
type = http01
listener = ${at.responder}
self-check = off
[worker]
${worker ?? ''}
[redis]
${redisUrl === false ? '' : toLines(redisUrl, options.servers)}
${redisUrl === false ? '' : users.lines}
${moreRedis ?? ''}
[logging]
level = trace
${logFile === undefined ? '' : `destination = ${logFile}`}
${blocks ?? `[auth "all"]\nall = yes\ndomain = *\n${accounts}`}
`;
  }

  await Promise.all((options.roles ?? ['intake', 'worker', 'responder']).map(role => fleet.start(role)));
  const running = started.move();
  // Not a copy, which would ask for a second CA that may not be there.
  return Object.assign(fleet, {
    async [Symbol.asyncDispose]() {
      for (const dir of second ? [accountDir, second.accountDir] : [accountDir])
        for (const secret of accountSecrets(join(dir, 'account.pem'))) secrets.add(secret);
      if (existsSync(secretFile)) secrets.add(readFileSync(secretFile, 'utf8').trim());
      const everyUsers = await Promise.all(allUsers.values());
      const refusals = await Promise.all(everyUsers.map(one => one.refusals()));
      await running.disposeAsync();
      assert.deepEqual(refusals.flat(), [], 'each role has all rights in Redis that it needs');
      for (const { name, output } of outputs) {
        assert.match(output(), /"msg":/, `the log of ${name} was kept`);
        assert.deepEqual(findLeaks(output(), secrets), [], `the log of ${name} holds secrets`);
      }
    },
  });
}

export const toServers = (node: Redis): FleetServers => ({ nodes: [node], lines: `url = ${node.url}` });

/** It sees the same names as the first Pebble, and asks the same responders. */
async function startSecond(
  options: NonNullable<FleetOptions['second']>,
  first: { dir: string; front: ChallengeFront; pebble: Pebble; started: AsyncDisposableStack },
): Promise<FleetCa> {
  const { dir, front, started } = first;
  const { dnsServer } = first.pebble;
  const pebble = started.use(await startPebble({ ...options.pebble, httpPort: front.port, dnsServer }));
  const ca = started.use(await startFaultProxy(pebble));
  return { pebble, ca, accountDir: join(dir, 'account-second') };
}

function secondSection({ ca, pebble, accountDir }: FleetCa, lines: string | undefined): string {
  return `[account "second"]
acme-server = ${ca.directoryUrl}
ca-file = ${pebble.caFile}
${lines ?? `accept-terms-of-service = yes\ndir = ${accountDir}`}`;
}

/** The lines of a log that hold one of the secrets, or any CSR or private key at all. */
export function findLeaks(log: string, secrets: Iterable<string>): string[] {
  const hidden = ['BEGIN CERTIFICATE REQUEST', 'PRIVATE KEY-', ...secrets];
  return log.split('\n').filter(line => hidden.some(secret => line.includes(secret)));
}

function iniSecrets(ini: string): string[] {
  return [...ini.matchAll(/^(?:hmac_key|eab-hmac-key|tsig-secret) *= *(.+)$/gm)].map(([, key = '']) => key);
}

/**
 * The second line of a CSR's base64, as the first holds what many CSRs begin with, and the digest of an HMAC
 * header.
 */
function requestSecrets(body: string | Buffer, headers: Record<string, string>): string[] {
  const line = /^[\w+/]{64}$/gm.exec(`${body}`.replace(/^-.*\r?\n[\w+/]{64}\r?\n/m, ''))?.[0];
  const digest = /hash=([0-9a-f]{32,})/i.exec(Object.values(headers).join())?.[1];
  return [line, digest].filter(secret => secret !== undefined);
}

/** Lines of the key, and its thumbprint (RFC 7638): every key authorization ends in it. */
export function accountSecrets(file: string): string[] {
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch {
    return []; // No worker ran.
  }
  const lines = pem.split('\n').filter(line => /^[\w+/]{64}$/.test(line));
  return [...lines, thumbprint(pem)];
}

export function thumbprint(keyPem: string): string {
  const { crv, e, kty, n, x, y } = createPublicKey(keyPem).export({ format: 'jwk' });
  const members = kty === 'RSA' ? { e, kty, n } : { crv, kty, x, y };
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}
