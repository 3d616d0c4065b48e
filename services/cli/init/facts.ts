import { once } from 'node:events';
import { createServer } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { isDomainName, toName } from '../../../shared/base/identifier.ts';

/** What `quarry init` finds on the machine. */
export type Facts = {
  /** Whether the roles run in containers, of which little of the machine can be seen. */
  isComposed: boolean;
  /** The one that the machine's name lies in, where it has one that others may know. */
  domain: string | undefined;
  /** How other hosts reach this one, as far as can be told. */
  server: string;
  hasIpv6: boolean;
  /** Whether this user may listen on a port, as far as is known now. */
  tryPort(port: number): Promise<'free' | 'taken' | 'forbidden'>;
};

export function findFacts(isComposed: boolean): Facts {
  const name = toName(hostname());
  const addresses = Object.values(networkInterfaces()).flatMap(all => all ?? []);
  const outside = addresses.filter(({ internal, scopeid }) => !internal && !scopeid);
  const own = outside.find(({ family }) => family === 'IPv4') ?? outside[0];
  return {
    isComposed,
    domain: domainOf(name),
    server: domainOf(name) === undefined ? (own && inUrl(own)) || name : name,
    hasIpv6: addresses.some(({ family }) => family === 'IPv6'),
    tryPort,
  };
}

const inUrl = ({ address, family }: { address: string; family: string }) =>
  family === 'IPv6' ? `[${address}]` : address;

/** Of `web1.example.org`: `example.org`. Names that only the machine itself has are of no use. */
function domainOf(name: string): string | undefined {
  const [, ...above] = name.split('.');
  const isInner = /(^|\.)(local|localdomain|localhost|internal|lan|home|arpa)$/.test(name);
  return above.length >= 2 && !isInner && isDomainName(name) ? above.join('.') : undefined;
}

async function tryPort(port: number): Promise<'free' | 'taken' | 'forbidden'> {
  const server = createServer();
  try {
    server.listen(port);
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
    return 'free';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? 'forbidden' : 'taken';
  }
}
