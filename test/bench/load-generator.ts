import { createConnection } from 'node:net';
import { fail, generateLoad, type LoadSpec } from './generator.ts';

// A program of its own, `load-generator.ts <LoadSpec as JSON>`. The request is all of an HTTP request, head
// and body; the server must keep the connection alive. It writes to raw sockets: node:http's client costs
// more per request than the servers measured here, and tools that do better count in whole milliseconds.

const headEnd = Buffer.from('\r\n\r\n');

function openConnection(spec: LoadSpec, answered: (sentAt: number) => void): void {
  const request = Buffer.from(spec.request);
  const socket = createConnection({ port: spec.port, host: '127.0.0.1', noDelay: true }, send);
  let sentAt = 0;
  let answer = Buffer.alloc(0);

  function send() {
    sentAt = performance.now();
    socket.write(request);
  }

  socket.on('data', chunk => {
    answer = answer.length === 0 ? chunk : Buffer.concat([answer, chunk]);
    const wanted = lengthOf(answer);
    if (wanted === undefined || answer.length < wanted) return;
    if (answer.length > wanted) fail('an answer is longer than it says');
    answer = Buffer.alloc(0);
    answered(sentAt);
    send();
  });
  socket.on('error', error => fail(error.message));
  socket.on('close', () => fail('the server closed a connection'));
}

/** Head and body of the answer that begins here; undefined while the head is not all there. */
function lengthOf(answer: Buffer): number | undefined {
  const end = answer.indexOf(headEnd);
  if (end < 0) return undefined;
  const head = answer.toString('latin1', 0, end);
  if (!head.startsWith('HTTP/1.1 200 ')) fail(`not a 200: ${head.split('\r\n')[0]}`);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length === undefined) fail('an answer has no Content-Length');
  return end + headEnd.length + Number(length);
}

generateLoad(openConnection);
