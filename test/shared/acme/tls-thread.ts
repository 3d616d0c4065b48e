import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { parentPort, workerData } from 'node:worker_threads';

// A thread whose TLS server answers each request at once, whatever the main thread is doing.

export type TlsThreadData = { cert: string; key: string; answer: string; counts: Int32Array };
/** What stands in `counts`. */
export const [ANSWERED, CONNECTIONS] = [0, 1];

if (parentPort) {
  const { cert, key, answer, counts } = workerData as TlsThreadData;
  const server = createServer({ cert, key }, socket => {
    Atomics.add(counts, CONNECTIONS, 1);
    socket
      .on('error', () => {})
      .on('data', () =>
        socket.write(answer, () => {
          Atomics.add(counts, ANSWERED, 1);
          Atomics.notify(counts, ANSWERED);
        }),
      );
  });
  server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port));
}
