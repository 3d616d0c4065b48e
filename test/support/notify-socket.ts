import { join } from 'node:path';
import { startProcess } from './processes.ts';
import { tempDir } from './temp-dir.ts';

/** Prints each datagram as a line of JSON. Node has no sockets of that kind. */
const receiver = `
import json, socket, sys
name = sys.argv[1]
socket_ = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
socket_.bind('\\0' + name[1:] if name[0] == '@' else name)
print('listening', flush=True)
while True:
    print(json.dumps(socket_.recv(65536).decode()), flush=True)
`;

export type NotifySocket = AsyncDisposable & {
  /** For NOTIFY_SOCKET. */
  address: string;
  /** What came, in its order: the lines of each datagram. */
  told(): string[][];
};

/** What systemd is for a service: a socket that takes datagrams. */
export async function startNotifySocket(kind: 'path' | 'abstract'): Promise<NotifySocket> {
  await using started = new AsyncDisposableStack();
  const { path } = started.use(await tempDir());
  const address = kind === 'path' ? join(path, 'notify') : `@${path}`;
  const options = { name: 'the notify socket', ready: /listening/ };
  const running = started.use(await startProcess('python3', ['-c', receiver, address], options));
  const parts = started.move();
  return {
    address,
    told: () => {
      const lines = running
        .output()
        .split('\n')
        .filter(line => line.startsWith('"'));
      const all = lines.map(line => (JSON.parse(line) as string).trimEnd().split('\n'));
      // By a barrier systemd-notify waits until all is read.
      return all.filter(([first]) => first !== 'BARRIER=1');
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}
