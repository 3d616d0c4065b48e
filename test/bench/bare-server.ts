import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';

// A program of its own, `bare-server.ts <Redis URL> <key>`: the least that a Node server does which answers
// from Redis. It reads the body, fetches the key and sends what it finds, to whoever asks for whatever.

const [redisUrl = '', key = ''] = process.argv.slice(2);
const redis = new Redis(redisUrl);

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const server = createServer(async (request, response) => {
  if (request.method === 'POST') await readBody(request);
  const value = (await redis.get(key)) ?? '';
  const headers = { 'Content-Type': 'application/octet-stream', 'Content-Length': Buffer.byteLength(value) };
  response.writeHead(value ? 200 : 404, headers);
  response.end(value);
});

server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening on ${(server.address() as AddressInfo).port}\n`);
});
