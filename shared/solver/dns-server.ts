import { isIP, isIPv6 } from 'node:net';
import { isHostName } from '../base/identifier.ts';
import type { Parse } from '../config/section-reader.ts';
import type { DnsServer } from '../dns/exchange.ts';

/** `host`, `host:port`, `[IPv6]:port`, or an IPv6 address alone; the port is 53 where none is written. */
export const parseDnsServer: Parse<DnsServer> = (text, fail) => {
  if (isIPv6(text)) return { host: text, port: 53 };
  const [, v6, other, digits = '53'] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = v6 ?? other;
  if (host === undefined)
    return fail('is not a server such as 192.0.2.53, ns.example.org:5353 or [2001:db8::53]:53');
  const port = Number(digits);
  if (port < 1 || port > 65_535) return fail('needs a port from 1 to 65535');
  if (v6 !== undefined && !isIPv6(v6)) return fail('has no IPv6 address in its brackets');
  return isIP(host) || isHostName(host) ? { host, port } : fail('has neither an address nor a host name');
};

/** As parseDnsServer, for a server that names are looked up with. */
export const parseDnsAddress: Parse<DnsServer> = (text, fail) => {
  const server = parseDnsServer(text, fail);
  return isIP(server.host) ? server : fail('is not an address; names are looked up with it');
};
