import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { startQuarry } from '../support/quarry.ts';
import { waitUntil } from '../support/wait-until.ts';
import type { Benchmark, Subject, Tell } from './benchmark.ts';
import { fakeGround, prefix } from './ground.ts';
import { makeCsrs } from './named-csrs.ts';
import { residentMegabytes } from './process-figures.ts';
import { takeSamples } from './samples.ts';
import { median } from './statistics.ts';

const numbers = [1_000, 5_000] as const;
/** Posted at once. */
const batch = 100;
/** An intake counts as settled when it gives nothing back for so long. */
const settleMs = 5_000;
const mostSettleMs = 40_000;

/** Longer than both trees take where two are compared. */
const withLongWait = (ini: string) => ini.replace('[mgmt]\n', '[mgmt]\nwait = 3600\n');

const perClient = (clients: number) => `KB a client, at ${clients}`;
const afterwards = 'MB of the intake when they have left';
const idle = 'MB of the intake before they came';

/** Clients post CSRs, each another one, and no worker runs. */
const subject: Subject = async function* ({ root }, tell) {
  await using stack = new AsyncDisposableStack();
  const { redis, ini, intakePort } = await fakeGround(false)(stack, 1);
  const csrs = await makeCsrs(numbers[numbers.length - 1] as number);
  const { pid } = stack.use(await startQuarry('intake', withLongWait(ini), { root }));
  const connection = { url: redis.url };
  const queue = stack.adopt(new Queue('sign', { connection, prefix }), queue => queue.close());
  const clients: Socket[] = [];
  stack.defer(() => leave(clients));

  const before = await settled(pid);
  yield { figure: idle, value: before };
  for (const number of numbers) {
    while (clients.length < number) {
      clients.push(
        ...(await post(
          csrs.splice(0, batch).map(({ csr }) => csr),
          intakePort,
        )),
      );
      await waitUntil('the posts to be queued', async () => (await queue.count()) >= clients.length);
    }
    const value = (((await settled(pid)) - before) * 1024) / number;
    requireHeld(clients);
    tell(`${number} clients are held, ${value.toFixed(0)} KB each`);
    yield { figure: perClient(number), value };
  }
  leave(clients);
  yield { figure: afterwards, value: await settled(pid) };
};

async function post(csrs: string[], port: number): Promise<Socket[]> {
  return await Promise.all(
    csrs.map(async csr => {
      const socket = createConnection(port, '127.0.0.1');
      await once(socket, 'connect');
      socket.on('error', () => {}); // its end is noticed
      const length = Buffer.byteLength(csr);
      socket.write(`POST /sign HTTP/1.1\r\nHost: bench.example\r\nContent-Length: ${length}\r\n\r\n${csr}`);
      return socket;
    }),
  );
}

/** None may have been answered, or cut off. */
function requireHeld(clients: Socket[]): void {
  const gone = clients.filter(
    socket => socket.readableLength > 0 || socket.readableEnded || socket.destroyed,
  );
  if (gone.length > 0) throw new Error(`${gone.length} of ${clients.length} clients are held no more`);
}

function leave(clients: Socket[]): void {
  for (const socket of clients) socket.destroy();
}

/** In megabytes, when it has given back what it gives back by itself. */
async function settled(pid: number): Promise<number> {
  let least = await residentMegabytes(pid);
  const end = performance.now() + mostSettleMs;
  while (performance.now() < end) {
    await delay(settleMs);
    const now = await residentMegabytes(pid);
    if (now > least - 1) return now;
    least = now;
  }
  return least;
}

/** The memory of an intake for each client that it holds while its order waits. */
export const benchHeldClients: Benchmark = { subject, run };

async function run(tell: Tell) {
  const of = await takeSamples(subject, tell);
  const figures = [...numbers.map(perClient), afterwards];
  const [few, many, left] = figures.map(figure => median(of(figure))) as [number, number, number];
  return {
    value: few,
    unit: perClient(numbers[0]),
    beside: `a client at ${numbers[1]}`,
    besideValue: many,
    held: { [perClient(numbers[0])]: few, [perClient(numbers[1])]: many, [afterwards]: left },
    note: `the intake has ${left.toFixed(0)} MB when they have left, and had ${median(of(idle)).toFixed(0)} before`,
  };
}
