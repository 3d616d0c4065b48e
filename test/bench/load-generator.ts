import { createConnection } from 'node:net';
import { percentile } from './statistics.ts';

// A program of its own, `load-generator.ts <LoadSpec as JSON>`, which prints a LoadReport as JSON. It writes one and the
// same request to raw sockets over and over: node:http's client costs more per request than the servers measured here,
// and tools that do better count in whole milliseconds.

/** The wire format between `load.ts` and this program. */
export type LoadSpec = {
  port: number;
  /** The whole request, head and body; the server must keep the connection alive. */
  request: string;
  /** Each has one request in flight. */
  connections: number;
  warmUpMs: number;
  measureMs: number;
};

export type LoadReport = {
  /** During the measurement, which lasted `seconds`. */
  answers: number;
  seconds: number;
  /** With those of the warm-up. */
  allAnswers: number;
  /** Latencies in milliseconds. */
  p50: number;
  p99: number;
  /** The share of a core that this program itself took. */
  busy: number;
};

const spec = JSON.parse(process.argv[2] ?? '') as LoadSpec;
const request = Buffer.from(spec.request);
const headEnd = Buffer.from('\r\n\r\n');
const latencies: number[] = [];
let measuring = false;
let allAnswers = 0;

function openConnection(): void {
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
    allAnswers++;
    if (measuring) latencies.push(performance.now() - sentAt);
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

function fail(reason: string): never {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
}

function report({ startedAt, cpu }: { startedAt: number; cpu: NodeJS.CpuUsage }): void {
  const seconds = (performance.now() - startedAt) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const result: LoadReport = {
    answers: latencies.length,
    seconds,
    allAnswers,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    busy: (user + system) / 1e6 / seconds,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
  process.exit(0);
}

for (let count = 0; count < spec.connections; count++) openConnection();
setTimeout(() => {
  const started = { startedAt: performance.now(), cpu: process.cpuUsage() };
  measuring = true;
  setTimeout(report, spec.measureMs, started);
}, spec.warmUpMs);
