import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

// Ports are taken from blocks below the kernel's ephemeral range. A process holds the first port of a block
// open for as long as it lives, and with it owns the block: no two test processes ever hand out the same
// port.

const firstPort = 10_000;
const blockSize = 64;
const blocks = 340;
/** `fetch` asks nobody on it, https://fetch.spec.whatwg.org/#port-blocking */
const blocked = 10_080;

let block = process.pid % blocks;
let next = blockSize;
let taking: Promise<unknown> = Promise.resolve();

async function bindTcp(port: number, host: string): Promise<Server> {
  const server = createServer();
  server.listen({ port, host, exclusive: true });
  await once(server, 'listening');
  return server;
}

async function isFree(port: number): Promise<boolean> {
  try {
    for (const host of ['127.0.0.1', '::1']) {
      const server = await bindTcp(port, host).catch(missing);
      if (server) await new Promise(done => server.close(done));
    }
    const socket = createSocket('udp4').bind({ port, address: '127.0.0.1', exclusive: true });
    await once(socket, 'listening');
    await new Promise<void>(done => socket.close(done));
    return true;
  } catch {
    return false;
  }
}

/** A machine without IPv6 says so with EADDRNOTAVAIL or EAFNOSUPPORT; that does not make a port taken. */
function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'EADDRNOTAVAIL' && error.code !== 'EAFNOSUPPORT') throw error;
}

async function ownNextBlock(): Promise<void> {
  for (let tries = 0; tries < blocks; tries++) {
    block = (block + 1) % blocks;
    try {
      (await bindTcp(firstPort + block * blockSize, '127.0.0.1')).unref();
      next = 1;
      return;
    } catch {
      // Another test process owns it.
    }
  }
  throw new Error('no free block of ports');
}

async function takePort(): Promise<number> {
  while (true) {
    if (next === blockSize) await ownNextBlock();
    const port = firstPort + block * blockSize + next++;
    if (port !== blocked && (await isFree(port))) return port;
  }
}

/**
 * A port that is free on loopback, TCP (IPv4 and IPv6) and UDP; never handed out twice, also not to other
 * test processes.
 */
export function freePort(): Promise<number> {
  const port = taking.then(takePort);
  taking = port.catch(() => {});
  return port;
}

/** That many different free ports. */
export function freePorts(count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, freePort));
}
