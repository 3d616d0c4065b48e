import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { listen } from './listen.ts';

export type Posted = { path: string; headers: IncomingHttpHeaders; body: string };

/** What a webhook posts to. */
export type HookReceiver = AsyncDisposable & {
  url: string;
  /** All that was posted, whatever was answered. */
  posts: Posted[];
  /** Statuses of the next answers, in their order; 204 once there are none. 0: it never answers. */
  answers: number[];
};

export async function startHookReceiver(): Promise<HookReceiver> {
  const posts: Posted[] = [];
  const answers: number[] = [];
  const server = await listen(async (request, response) => {
    posts.push({ path: request.url ?? '', headers: request.headers, body: await read(request) });
    answer(response, answers.shift() ?? 204);
  });
  return { url: server.url, posts, answers, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function read(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

function answer(response: ServerResponse, status: number): void {
  if (status !== 0) response.writeHead(status, status === 302 ? { Location: '/elsewhere' } : {}).end('said');
}
