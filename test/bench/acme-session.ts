import { Agent as PlainAgent } from 'node:http';
import { Agent } from 'node:https';
import { type ClientKey, makeClientKey, signJws } from '../support/acme-jws.ts';
import { type Answer, ask } from '../support/ask.ts';

const kept = { keepAlive: true };

type Directory = { newNonce: string; newAccount: string; newOrder: string };

/** An account of an ACME client, for requests at the least cost: it checks nothing but statuses. */
export type AcmeSession = Disposable & {
  directory: Directory;
  /** HEAD. */
  newNonce(): Promise<string>;
  /** A signed request, as its body. @param payload none: POST-as-GET */
  sign(url: string, nonce: string, payload?: object): string;
  /** With a nonce of an earlier answer where there is one. */
  post(url: string, payload?: object): Promise<Answer>;
  /** @returns the order's URL, and what it says */
  newOrder(name: string): Promise<{ url: string; order: { finalize: string; status: string } }>;
};

/** Makes an account. @param ca PEM, where it is by https */
export async function openAcmeSession(directoryUrl: string, ca = ''): Promise<AcmeSession> {
  const agent = directoryUrl.startsWith('https:') ? new Agent(kept) : new PlainAgent(kept);
  const headers = { 'User-Agent': 'quarry-bench' }; // Pebble wants it
  const web = { agent, headers, ...(ca && { ca }) };
  const key: ClientKey = makeClientKey();
  const nonces: string[] = [];
  let kid: string | undefined;

  function keepNonce({ headers }: Answer): void {
    nonces.push(String(headers['replay-nonce']));
  }

  const directory = JSON.parse((await ask(directoryUrl, web)).body) as Directory;

  async function newNonce(): Promise<string> {
    const answer = await ask(directory.newNonce, { ...web, method: 'HEAD' });
    if (answer.status !== 200) throw new Error(`newNonce was answered with ${answer.status}`);
    return String(answer.headers['replay-nonce']);
  }

  function sign(url: string, nonce: string, payload?: object): string {
    const header = { alg: key.alg, nonce, url, ...(kid === undefined ? { jwk: key.jwk } : { kid }) };
    return JSON.stringify(signJws(header, payload === undefined ? '' : JSON.stringify(payload), key));
  }

  async function post(url: string, payload?: object): Promise<Answer> {
    const nonce = nonces.pop() ?? (await newNonce());
    const typed = { ...headers, 'Content-Type': 'application/jose+json' };
    const answer = await ask(url, {
      ...web,
      method: 'POST',
      headers: typed,
      body: sign(url, nonce, payload),
    });
    keepNonce(answer);
    if (answer.status >= 400) throw new Error(`${url} was answered with ${answer.status}: ${answer.body}`);
    return answer;
  }

  kid = (await post(directory.newAccount, { termsOfServiceAgreed: true })).headers.location;
  return {
    ...{ directory, newNonce, sign, post },
    async newOrder(name) {
      const answer = await post(directory.newOrder, { identifiers: [{ type: 'dns', value: name }] });
      return { url: answer.headers.location ?? '', order: JSON.parse(answer.body) };
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}
