import { readFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';
import { openAcmeSession } from './acme-session.ts';
import { fail, generateLoad, type LoadSpec } from './generator.ts';

// A program of its own, `acme-load-generator.ts <LoadSpec as JSON>`: the request is an `AcmeWork` as JSON.
// Each connection has an account, as one may not have many orders that are not finished. Each signed
// request has the nonce of the answer before. It writes to raw sockets, as node:https costs more per request
// than the servers measured here.

/** What is asked for over and over, and the path of the directory at each port that may be asked. */
export type AcmeWork = {
  kind: 'nonce' | 'newOrder' | 'order';
  directories: Record<string, string>;
  /** A file of PEM. */
  caFile: string;
};

type Work = {
  /** The next request, head and body. */
  next(nonce: string): string;
  firstNonce: string;
  hasBody: boolean;
};

const newOrder = { identifiers: [{ type: 'dns', value: 'www.bench.example' }] };

async function openWork({ port, request }: LoadSpec, ca: string): Promise<Work> {
  const { kind, directories } = JSON.parse(request) as AcmeWork;
  using session = await openAcmeSession(`https://127.0.0.1:${port}${directories[port]}`, ca);
  const { directory, sign } = session;
  const firstNonce = await session.newNonce();
  if (kind === 'nonce') {
    const head = toHead('HEAD', directory.newNonce);
    return { next: () => `${head}\r\n`, firstNonce, hasBody: false };
  }
  const url = kind === 'newOrder' ? directory.newOrder : (await session.newOrder('www.bench.example')).url;
  const head = toHead('POST', url);
  const payload = kind === 'newOrder' ? newOrder : undefined;
  const next = (nonce: string) => {
    const body = sign(url, nonce, payload);
    return `${head}Content-Type: application/jose+json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  };
  return { next, firstNonce, hasBody: true };
}

function toHead(method: string, url: string): string {
  const { pathname, host } = new URL(url);
  return `${method} ${pathname} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: quarry-bench\r\n`;
}

type Answer = { nonce: string; length: number };

/** `undefined` while the head is not all there. */
function readAnswer(text: string, hasBody: boolean): Answer | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const head = text.slice(0, end);
  if (!/^HTTP\/1.1 20[01] /.test(head)) fail(`not a 200: ${text}`);
  const nonce = /\r\nreplay-nonce: *(\S+)/i.exec(head)?.[1] ?? fail('an answer has no nonce');
  const [, length = 0] = /\r\ncontent-length: *(\d+)/i.exec(head) ?? [];
  return { nonce, length: end + 4 + (hasBody ? Number(length) : 0) };
}

function sendOn(socket: TLSSocket, { next, hasBody }: Work, answered: (sentAt: number) => void) {
  let sentAt = 0;
  let text = '';
  const send = (nonce: string) => {
    const request = next(nonce);
    sentAt = performance.now();
    socket.write(request);
  };
  socket.on('data', chunk => {
    text += chunk.toString('latin1');
    const answer = readAnswer(text, hasBody);
    if (!answer || text.length < answer.length) return;
    text = '';
    answered(sentAt);
    send(answer.nonce);
  });
  socket.on('error', error => fail(error.message));
  socket.on('close', () => fail('the server closed a connection'));
  return send;
}

async function open(spec: LoadSpec, answered: (sentAt: number) => void): Promise<void> {
  const { caFile } = JSON.parse(spec.request) as AcmeWork;
  const ca = readFileSync(caFile, 'utf8');
  const work = await openWork(spec, ca);
  const socket = connect({ port: spec.port, host: '127.0.0.1', ca });
  socket.on('secureConnect', () => sendOn(socket, work, answered)(work.firstNonce));
}

generateLoad((spec, answered) => void open(spec, answered).catch(error => fail(error.message)));
