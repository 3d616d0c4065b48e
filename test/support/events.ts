import { request } from 'node:http';
import { waitUntil } from './wait-until.ts';

export type Events = {
  status: number;
  /** The lines of `progress` so far. */
  progress(): string[];
  /** Waits until the last of them is this. */
  until(line: string): Promise<void>;
  /** The last event, with its data, once the stream has ended. */
  end: Promise<{ event: string; data: string }>;
  leave(): void;
};

/** Listens for server-sent events (HTML, section 9.2), which it reads as they come. */
export function listenForEvents(
  url: string,
  { from = '127.0.0.1', headers = {} }: { from?: string; headers?: Record<string, string> } = {},
): Promise<Events> {
  const heard: { event: string; data: string }[] = [];
  const { promise: end, resolve: finish } = Promise.withResolvers<(typeof heard)[number]>();
  const progress = () => heard.filter(({ event }) => event === 'progress').map(({ data }) => data);

  function take(text: string) {
    const valuesOf = (name: string) =>
      [...text.matchAll(new RegExp(`^${name}: ?(.*)$`, 'gm'))].map(([, value = '']) => value);
    const [event] = valuesOf('event');
    if (event) heard.push({ event, data: valuesOf('data').join('\n') });
  }

  return new Promise((resolve, reject) => {
    const accept = { Accept: 'text/event-stream', ...headers };
    const asked = request(url, { localAddress: from, headers: accept, agent: false }, answer => {
      let rest = '';
      answer.setEncoding('utf8');
      answer.on('data', part => {
        const parts = `${rest}${part}`.split('\n\n');
        rest = parts.pop() ?? '';
        parts.forEach(take);
      });
      answer.on('close', () => finish(heard.at(-1) ?? { event: 'none', data: rest }));
      resolve({
        status: answer.statusCode ?? 0,
        progress,
        until: line => waitUntil(`"${line}" after "${progress()}"`, () => progress().at(-1) === line),
        end,
        leave: () => asked.destroy(),
      });
    });
    asked.on('error', reject).end();
  });
}
