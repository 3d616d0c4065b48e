import { once } from 'node:events';
import { createServer } from 'node:http';
import { ask } from './ask.ts';
import { freePort } from './free-port.ts';

export type ChallengeFront = AsyncDisposable & {
  /** Where the CA asks. */
  port: number;
  /** Asks this responder from now on, too. */
  add(responderUrl: string): void;
  /** Lets the CA wait for its answers until `release`: an order is held in its middle for as long. */
  hold(): void;
  release(): void;
  /** How many of the CA's requests wait now; it may send several for one challenge. */
  readonly waiting: number;
  /** The challenges that these are for. */
  readonly waitingFor: Set<string>;
  /** What each responder answered, for each request. */
  readonly asked: { path: string; answers: { status: number; body: string }[] }[];
};

/**
 * What nginx is in front of the responders: it hands the CA's requests on. It asks every responder, as then a
 * test sees that each of them would do, and gives the CA the first answer that is not a 404.
 */
export async function startChallengeFront(): Promise<ChallengeFront> {
  const port = await freePort();
  const responders: string[] = [];
  const asked: ChallengeFront['asked'] = [];
  let gate: PromiseWithResolvers<void> | undefined;
  const waiting: string[] = [];

  const server = createServer(async (request, response) => {
    const path = request.url ?? '';
    waiting.push(path);
    await gate?.promise;
    waiting.splice(waiting.indexOf(path), 1);
    const answers = await Promise.all(
      responders.map(url => ask(url + path).catch(() => ({ status: 502, body: 'no answer' }))),
    );
    asked.push({ path, answers: answers.map(({ status, body }) => ({ status, body })) });
    const best = answers.find(({ status }) => status === 200) ??
      answers[0] ?? { status: 502, body: 'no responder' };
    response.writeHead(best.status, { 'Content-Type': 'application/octet-stream' }).end(best.body);
  });
  server.listen(port, '127.0.0.1').unref();
  await once(server, 'listening');

  const release = () => {
    gate?.resolve();
    gate = undefined;
  };
  return {
    port,
    add: url => void responders.push(url),
    hold: () => {
      gate ??= Promise.withResolvers();
    },
    release,
    get waiting() {
      return waiting.length;
    },
    get waitingFor() {
      return new Set(waiting);
    },
    asked,
    async [Symbol.asyncDispose]() {
      release();
      server.closeAllConnections();
      await new Promise(done => server.close(done));
    },
  };
}
