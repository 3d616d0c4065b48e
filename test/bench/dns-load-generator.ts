import { createSocket } from 'node:dgram';
import { fail, generateLoad, type LoadSpec } from './generator.ts';

// A program of its own, `dns-load-generator.ts <LoadSpec as JSON>`: the request is a DNS question, in base64,
// that is sent over UDP and has to be answered with at least one record.

/** What was lost on the way is sent again, and counts as slow. */
const SEND_AGAIN = 500;

function openConnection(spec: LoadSpec, answered: (sentAt: number) => void): void {
  const request = Buffer.from(spec.request, 'base64');
  const socket = createSocket('udp4');
  let sentAt = 0;
  const send = () => socket.send(request);
  const timer = setInterval(send, SEND_AGAIN);

  function next() {
    sentAt = performance.now();
    timer.refresh();
    send();
  }

  socket.on('error', error => fail(error.message));
  socket.on('message', reply => {
    if (reply.length < 12 || reply.readUInt16BE(6) === 0) fail(`not an answer: ${reply.toString('hex')}`);
    answered(sentAt);
    next();
  });
  socket.connect(spec.port, '127.0.0.1', next);
}

generateLoad(openConnection);
