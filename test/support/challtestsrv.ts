import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { freePorts } from './free-port.ts';
import { type Process, startProcess } from './processes.ts';
import { provision } from './provision.ts';

/** Its DNS server's address, and the URL of its management interface. */
export type Challtestsrv = Process & { dnsServer: string; managementUrl: string };

/**
 * A DNS server that resolves every name to its own address until told otherwise through its management
 * interface.
 *
 * @param options `tlsPort`: where it answers tls-alpn-01 challenges that it was told of, too; `dnsPort`: of
 *   its DNS server, any free one by default; `address`: of that, 127.0.0.1 by default
 */
export async function startChalltestsrv(
  options: { tlsPort?: number; dnsPort?: number; address?: string } = {},
): Promise<Challtestsrv> {
  const { 'pebble-challtestsrv': command } = await provision(['pebble-challtestsrv']);
  const [freeDnsPort, managementPort] = (await freePorts(2)) as [number, number];
  const { tlsPort, dnsPort = freeDnsPort, address = '127.0.0.1' } = options;
  const dnsServer = `${address}:${dnsPort}`;
  const managementUrl = `http://127.0.0.1:${managementPort}`;
  const wanted = {
    management: `127.0.0.1:${managementPort}`,
    defaultIPv4: address,
    defaultIPv6: '',
    dns01: dnsServer, // Its name until 2.6; later:
    dnsserver: dnsServer,
    http01: '',
    https01: '',
    tlsalpn01: tlsPort === undefined ? '' : `127.0.0.1:${tlsPort}`,
    doh: '',
  };
  const known = await flagsOf(command);
  const args = Object.entries(wanted).flatMap(([flag, value]) =>
    known.has(flag) ? [`-${flag}`, value] : [],
  );
  const server = await startProcess(command, args, {
    name: 'pebble-challtestsrv',
    ready: async () => (await fetch(managementUrl)).status === 404,
  });
  return Object.assign(server, { dnsServer, managementUrl });
}

/** The flags differ between versions. */
async function flagsOf(command: string): Promise<Set<string>> {
  const { stderr } = await promisify(execFile)(command, ['-h']).catch((error: { stderr: string }) => error);
  return new Set([...stderr.matchAll(/^ {2}-(\w[\w-]*)/gm)].map(match => match[1] ?? ''));
}
