import { once } from 'node:events';
import { statSync } from 'node:fs';
import { createServer } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { dirname } from 'node:path';
import { isDomainName, toName } from '../../../shared/base/identifier.ts';
import type { Place } from './main-ini.ts';

/** Folders that the units shut off (ProtectHome, PrivateTmp). */
const shutFolders = ['/root', '/home', '/run/user', '/tmp', '/var/tmp'];

/** The folder above a file that keeps a service's user out; undefined where none does. */
export function findClosed(file: string): string | undefined {
  const folders = foldersOf(file);
  const shut = folders.find(folder => shutFolders.includes(folder));
  return shut ?? folders.find(folder => (statSync(folder).mode & 0o001) === 0);
}

function foldersOf(path: string): string[] {
  const folder = dirname(path);
  return folder === path ? [] : [folder, ...foldersOf(folder)];
}

/** What `quarry init` finds on the machine. */
export type Facts = {
  /** Whether the roles run in containers, of which little of the machine can be seen. */
  isComposed: boolean;
  /** Whether they run as a service's user, who sees less than the one who asks. */
  isService: boolean;
  /** The one that the machine's name lies in, where it has one that others may know. */
  domain: string | undefined;
  /** How other hosts reach this one, as far as can be told. */
  server: string;
  hasIpv6: boolean;
  /** Whether this user may listen on a port, as far as is known now. */
  tryPort(port: number): Promise<'free' | 'taken' | 'forbidden'>;
};

export function findFacts({ kind }: Pick<Place, 'kind'>): Facts {
  const name = toName(hostname());
  const addresses = Object.values(networkInterfaces()).flatMap(all => all ?? []);
  const outside = addresses.filter(({ internal, scopeid }) => !internal && !scopeid);
  const own = outside.find(({ family }) => family === 'IPv4') ?? outside[0];
  return {
    isComposed: kind === 'compose',
    isService: kind === 'system',
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
