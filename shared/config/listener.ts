import { isIP, isIPv6 } from 'node:net';
import { bracketed, isHostName } from '../base/identifier.ts';
import { inCode } from './option-rows.ts';
import type { Parse, SectionReader } from './section-reader.ts';

/** Where a service listens. */
export type Listener = {
  /** An IP literal without brackets, its zone kept (`fe80::1%eth0`), or a host name. */
  host: string;
  /** 0 takes any free port. */
  port: number;
  /** Written in a file, and not a default. */
  explicit: boolean;
};

/** `host:port`, `[v6]:port`, `[v6%zone]:port`, or macen's `v6:port`: the last colon is before the port. */
export const parseListener: Parse<Listener> = (text, fail) => {
  const [, bracketed, bare, digits] = /^(?:\[([^\]]*)\]|([^[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  if (digits === undefined) return fail('is not host:port or [IPv6]:port');
  const port = Number(digits);
  if (port > 65535) return fail('has a port above 65535');
  if (bracketed !== undefined) {
    return isIPv6(bracketed)
      ? { host: bracketed, port, explicit: true }
      : fail('has no IPv6 address in its brackets');
  }
  const host = bare ?? '';
  if (host.includes(':') && !isIPv6(host)) return fail('is not host:port or [IPv6]:port');
  if (!isIP(host) && !isHostName(host))
    return fail('has neither an IP address nor a host name before its port');
  return { host, port, explicit: true };
};

/** The listeners written under any of the keys, or the defaults where there are none. */
export function readListeners(section: SectionReader, keys: string[], defaults: Listener[]): Listener[] {
  const seen = new Set<string>();
  const parseOnce: Parse<Listener> = (text, fail) => {
    const listener = parseListener(text, fail);
    const name = formatListener(listener);
    if (listener.port !== 0 && seen.has(name)) return fail(`${name} is given twice`);
    seen.add(name);
    return listener;
  };
  const written = keys.flatMap(key => section.many(key, parseOnce));
  return written.length > 0 ? written : defaults;
}

/** Listeners that no file has written. */
export function defaultListeners(port: number, ...hosts: string[]): Listener[] {
  return hosts.map(host => ({ host, port, explicit: false }));
}

/** As the pages show defaults. */
export const inWords = (listeners: Listener[]): string =>
  listeners.map(one => inCode(formatListener(one))).join(', ');

export function formatListener({ host, port }: Listener): string {
  return `${bracketed(host)}:${port}`;
}
