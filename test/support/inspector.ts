import type { Process } from './processes.ts';

/** For `startQuarry`: lets `openInspector` look into the process. */
export const inspectable = ['--inspect=127.0.0.1:0'];

/** Of a running process, by the Chrome DevTools Protocol. */
export type Inspector = {
  /** @throws what the process answers in place of a result */
  send(method: string, params?: object): Promise<unknown>;
  close(): void;
};

/** @param running a process that was started with `inspectable` */
export async function openInspector(running: Process): Promise<Inspector> {
  const [url] = /ws:\/\/127\.0\.0\.1:\d+\/\S+/.exec(running.output()) ?? [];
  if (!url) throw new Error('the process has no inspector');
  const socket = new WebSocket(url);
  const waiting = new Map<number, (answer: { result?: unknown; error?: { message: string } }) => void>();
  socket.addEventListener('message', ({ data }) => {
    const answer = JSON.parse(data);
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  await new Promise((done, fail) => {
    socket.addEventListener('open', done);
    socket.addEventListener('error', fail);
  });
  let id = 0;
  return {
    send: (method: string, params = {}) =>
      new Promise<unknown>((done, fail) => {
        id += 1;
        waiting.set(id, ({ result, error }) => (error ? fail(new Error(error.message)) : done(result)));
        socket.send(JSON.stringify({ id, method, params }));
      }),
    close: () => socket.close(),
  };
}
