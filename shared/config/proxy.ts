import type { ProxyEnv } from 'node:http';
import { isIP, isIPv4 } from 'node:net';
import { addressFromBytes, addressToBytes } from '../base/identifier.ts';
import { type Environment, readVariable } from './environment.ts';
import type { Parse } from './section-reader.ts';

/** This host itself, which no proxy leads to. */
const LOOPBACK = ['localhost', '127.0.0.0-127.255.255.255', '::1'];

/**
 * The proxy that the environment names for https, as Node's agents take it: `https_proxy` or `HTTPS_PROXY`,
 * and the hosts of `no_proxy` or `NO_PROXY` without it, as curl reads them. http is for this host alone, so
 * that `http_proxy` is not read.
 *
 * @throws ConfigError which never repeats the URL, for its password
 */
export function readProxy(env: Environment): ProxyEnv | undefined {
  const url = readEither(env, ['https_proxy', 'HTTPS_PROXY'], parseProxyUrl);
  if (url === undefined) return undefined;
  const without = readEither(env, ['no_proxy', 'NO_PROXY'], text => text.split(/[\s,]+/)) ?? [];
  return {
    HTTPS_PROXY: url,
    NO_PROXY: [...LOOPBACK, ...without.filter(Boolean).map(toNodeEntry)].join(','),
  };
}

/** An option that names a proxy, for all hosts; `no`, or nothing, is none, whatever the environment says. */
export const parseProxy: Parse<ProxyEnv | 'none'> = (text, fail) =>
  text === '' || text.toLowerCase() === 'no' ? 'none' : toProxy(parseProxyUrl(text, fail));

/** It is a secret where it holds a password. */
export const proxySecret = {
  isSecret: (proxy: ProxyEnv | 'none') =>
    proxy !== 'none' && new URL(proxy.HTTPS_PROXY ?? '').password !== '',
};

const toProxy = (url: string): ProxyEnv => ({ HTTP_PROXY: url, HTTPS_PROXY: url });

/** Where a proxy is, for people: without its user and password. */
export const describeProxy = ({ HTTPS_PROXY = '' }: ProxyEnv): string => new URL(HTTPS_PROXY).host;

/** As curl, the lower-case name counts first. */
function readEither<T>(env: Environment, names: string[], parse: Parse<T>): T | undefined {
  for (const name of names) {
    const value = readVariable(env, name, parse);
    if (value !== undefined) return value;
  }
  return undefined;
}

/** `http://user:password@host:port`, or https; without a scheme it is http, as curl has it. */
const parseProxyUrl: Parse<string> = (text, fail) => {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (!url?.hostname || !/^https?:$/.test(url.protocol))
    return fail('is not http://host:port or https://host:port; other kinds of proxies cannot be used');
  if (/^\/?$/.test(url.pathname) && !url.search && !url.hash && isDecodable(url.username + url.password))
    return url.href;
  return fail('has more than a proxy needs; special characters in a password must be %-encoded');
};

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * To curl, a name stands for the names below it too, and a network has a prefix; to Node, that is a dot
 * before it, and a range.
 */
function toNodeEntry(entry: string): string {
  const plain = entry.replace(/^\[(.*)\]$/, '$1');
  if (entry === '*' || isIP(plain)) return plain;
  const [network = '', bits] = plain.split('/');
  if (isIPv4(network) && bits !== undefined && /^\d\d?$/.test(bits)) return toRange(network, Number(bits));
  return /:\d+$/.test(entry) ? entry : entry.replace(/^(\*?\.)?/, '.');
}

function toRange(network: string, bits: number): string {
  const size = 2 ** (32 - bits);
  const number = addressToBytes(network).readUInt32BE();
  const first = number - (number % size);
  return [first, first + size - 1].map(toAddress).join('-');
}

function toAddress(number: number): string | undefined {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return addressFromBytes(bytes);
}
