import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Redis } from 'ioredis';
import { isHostName } from '../base/identifier.ts';
import { type Endpoint, formatEndpoint, type RedisAddress, whereOf } from '../base/redis-address.ts';
import { askHolder } from '../base/redis-cluster.ts';
import { connectTo } from '../base/redis-connection.ts';
import { codeOf } from '../base/redis-errors.ts';
import type { RedisUser } from '../base/redis-use.ts';

// Why no connection comes about: what is written wrong is told, what is away is waited for.

/** How long another way to speak is tried out. Milliseconds. */
const LONGEST_TRY = 1_000;

/** What one connects to: Redis itself, or a Sentinel or a node of a cluster that leads there. */
type Door = {
  /** With a URL. */
  address: RedisAddress;
  /** As one line begins. */
  who: string;
  /** What to write where it does not let in, where it speaks no TLS, and where it speaks nothing else. */
  advice: { login: string; password: string; clear: string; tls: string };
  /** @returns where it leads, or what is wrong with it */
  lead?(redis: Redis): Promise<Endpoint | string>;
};

/** One line that says what to write, or `undefined` where Redis, or what leads there, is away. */
export async function explainUnreached(user: RedisUser, address: RedisAddress): Promise<string | undefined> {
  const [doors, toNext] = openDoors(user, address);
  let fault: string | undefined;
  for (const door of doors) {
    const found = await knock(door);
    if (found.next) return (await knock(toNext(found.next))).fault;
    fault ??= found.fault; // it counts only where no other one knows better
  }
  return fault;
}

function openDoors(user: RedisUser, address: RedisAddress): [Door[], (next: Endpoint) => Door] {
  const login = `does not let the ${user} in`;
  const password = 'password (or password-file)';
  const ofSwitch = { login, password, clear: 'write tls = no', tls: 'write tls = yes' };
  const toNode = (node: Endpoint): Door => ({
    address: addressOf(node, address),
    who: `Redis at ${formatEndpoint(node)}`,
    advice: ofSwitch,
  });
  if ('nodes' in address) {
    const { prefix } = address;
    const doors = address.nodes.map(node => ({
      ...toNode(node),
      lead: (redis: Redis) => askNode(redis, node, prefix),
    }));
    return [doors, toNode];
  }
  if ('sentinels' in address) {
    const { sentinels, master, sentinelLogin, sentinelTls } = address;
    const advice = {
      login: 'does not let Quarry in',
      password: 'sentinel-password (or sentinel-password-file)',
      ...{ clear: 'write sentinel-tls = no', tls: 'write sentinel-tls = yes' },
    };
    const doors = sentinels.map(sentinel => ({
      address: addressOf(sentinel, { login: sentinelLogin, tls: sentinelTls }),
      who: `the Sentinel at ${formatEndpoint(sentinel)}`,
      advice,
      lead: (redis: Redis) => askSentinel(redis, sentinel, master),
    }));
    return [doors, toNode];
  }
  const advice = { login, password, clear: 'write url = redis://…', tls: 'write url = rediss://…' };
  return [[{ address, who: `Redis at ${whereOf(address)}`, advice }], toNode];
}

type Access = { [Way in 'login' | 'tls']?: RedisAddress[Way] | undefined };

const addressOf = (node: Endpoint, { login, tls }: Access): RedisAddress => ({
  url: `${tls ? 'rediss' : 'redis'}://${formatEndpoint(node)}`,
  ...(login && { login }),
  ...(tls && { tls }),
});

async function knock(door: Door): Promise<{ fault?: string | undefined; next?: Endpoint }> {
  const url = urlOf(door.address);
  // Redis would wait for the end of what it takes for a command.
  if (url.startsWith('rediss:') && (await speaksClear(endpointOf(url))))
    return { fault: `${door.who} speaks no TLS: ${door.advice.clear}` };
  const redis = connectTo(door.address, 'once', false);
  let failure: Error | undefined;
  redis.on('error', error => {
    failure = error;
  });
  try {
    await redis.connect();
    const found = await door.lead?.(redis);
    return typeof found === 'object' ? { next: found } : { fault: found };
  } catch (error) {
    return { fault: await explainFailure(door, failure ?? (error as Error)) };
  } finally {
    redis.disconnect();
  }
}

const urlOf = (address: RedisAddress) => ('url' in address ? address.url : '');

function endpointOf(url: string): Endpoint {
  const { hostname, port } = new URL(url);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) };
}

async function askNode(redis: Redis, node: Endpoint, prefix: string): Promise<Endpoint | string> {
  const at = formatEndpoint(node);
  try {
    return (await askHolder(redis, { prefix, asked: node })).holder;
  } catch (error) {
    const { message } = error as Error;
    if (/^ERR This instance has cluster support disabled/.test(message))
      return `Redis at ${at} is no node of a cluster: write url = redis://${at}`;
    if (/^ERR unknown command/i.test(message)) return `${at} is a Sentinel: write sentinel = ${at}`;
    if (codeOf(error as Error) !== 'NOPERM') throw error;
    const missing =
      'does not allow this user +cluster|slots: give it the rights that quarry redis-acl prints';
    return `Redis at ${at} ${missing}`;
  }
}

async function askSentinel(redis: Redis, sentinel: Endpoint, master: string): Promise<Endpoint | string> {
  const at = formatEndpoint(sentinel);
  try {
    const found = await redis.call('sentinel', 'get-master-addr-by-name', master);
    if (!Array.isArray(found)) return await describeUnknown(redis, at, master);
    const [host, port] = [`${found[0]}`, Number(found[1])];
    if (isIP(host) || isHostName(host)) return { host, port };
    return `the Sentinel at ${at} names a master without an address`;
  } catch (error) {
    const { message } = error as Error;
    if (/^ERR unknown command/i.test(message))
      return `${at} is a Redis and no Sentinel: write url = redis://${at}, or the port of a Sentinel`;
    if (codeOf(error as Error) !== 'NOPERM') throw error;
    return `the Sentinel at ${at} does not allow this user +sentinel|get-master-addr-by-name`;
  }
}

/** Its user need not be allowed to ask for the names. */
async function describeUnknown(redis: Redis, at: string, master: string): Promise<string> {
  const masters = await redis.call('sentinel', 'masters').catch(() => []);
  const names = Array.isArray(masters) ? masters.flatMap(readName) : [];
  const advice = names.length > 0 ? `write sentinel-master = ${names.join(' or ')}` : 'see sentinel-master';
  return `the Sentinel at ${at} knows no master ${JSON.stringify(master)}: ${advice}`;
}

/** Names and values in turn. */
const readName = (fields: unknown): string[] =>
  Array.isArray(fields) && fields.includes('name') ? [`${fields[fields.indexOf('name') + 1]}`] : [];

async function explainFailure(door: Door, error: NodeJS.ErrnoException): Promise<string | undefined> {
  const { who, advice } = door;
  const { message, code = '' } = error;
  const refusal = codeOf(error);
  if (['WRONGPASS', 'NOAUTH', 'NOPERM'].includes(refusal))
    return `${who} ${advice.login} (${refusal})${adviseOnLogin(refusal, advice)}`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `${who} has a certificate for other names: ${message}`;
  if (isOfCertificate(code))
    return `${who} has a certificate that is not trusted (${message}): name its CA in ca-file`;
  if (/ALERT_CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE/.test(code))
    return `${who} wants a certificate from Quarry: write tls-cert and tls-key`;
  if (isOfShown(code)) return `${who} does not accept the certificate in tls-cert: ${wordsOfAlert(code)}`;
  const url = urlOf(door.address);
  const isReached = error.syscall !== 'connect' && error.syscall !== 'getaddrinfo';
  const mayBeTls = isReached && url.startsWith('redis:') && (await speaksTls(endpointOf(url)));
  return mayBeTls ? `${who} speaks only TLS: ${advice.tls}` : undefined;
}

function adviseOnLogin(refusal: string, { password }: Door['advice']): string {
  if (refusal === 'NOAUTH') return `: set ${password} in [redis]`;
  if (refusal === 'WRONGPASS') return `: correct user and ${password} in [redis]`;
  return ': give its user the rights that quarry redis-acl prints';
}

/** Codes of OpenSSL for a certificate that it does not accept. */
const isOfCertificate = (code: string) =>
  /CERT|^UNABLE_TO_|^INVALID_CA$|^INVALID_PURPOSE$/.test(code) && !code.startsWith('ERR_');

/** Codes of alerts (RFC 8446, section 6.2) about the certificate that a client has shown. */
const isOfShown = (code: string) => /_ALERT_(UNKNOWN_CA|(BAD_|UNSUPPORTED_)?CERTIFICATE)/.test(code);

/** Such as `unknown ca`. */
const wordsOfAlert = (code: string) =>
  code
    .replace(/^.*_ALERT_/, '')
    .replaceAll('_', ' ')
    .toLowerCase();

/** Whatever its certificate is. What it says to a client without one it says in TLS, too. */
function speaksTls(at: Endpoint): Promise<boolean> {
  const socket = connectTls({ ...at, rejectUnauthorized: false });
  return tryOut(socket, resolve => {
    socket.once('secureConnect', () => resolve(true));
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => resolve(code.includes('_ALERT_')));
  });
}

function speaksClear(at: Endpoint): Promise<boolean> {
  const socket = connect(at, () => socket.write('PING\r\n'));
  return tryOut(socket, resolve => {
    socket.once('data', data => resolve(/^[+-]/.test(data.toString('latin1'))));
    socket.once('error', () => resolve(false));
  });
}

async function tryOut(socket: Socket, begin: (resolve: (answer: boolean) => void) => void): Promise<boolean> {
  try {
    return await new Promise(resolve => {
      begin(resolve);
      socket.once('close', () => resolve(false));
      socket.setTimeout(LONGEST_TRY, () => resolve(false));
    });
  } finally {
    socket.on('error', () => {}); // nobody asks any more
    socket.destroy();
  }
}
