import { createHmac } from 'node:crypto';
import { type Agent, type IncomingHttpHeaders, request } from 'node:http';
import { request as requestByTls } from 'node:https';
import { text } from 'node:stream/consumers';

export type Answer = { status: number; headers: IncomingHttpHeaders; body: string };

export type AskOptions = {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** The loopback address that the client comes from; 127.0.0.1 by default. */
  from?: string;
  /** Sends the body without Content-Length. */
  chunked?: boolean;
  /** Ends the connection when it fires. */
  signal?: AbortSignal;
  /** Of the connection; by default each has its own. */
  agent?: Agent;
  /** The CAs of an https server, as PEM. */
  ca?: string;
};

/** One request on a connection of its own. Nothing is added to what the test says, as fetch() would. */
export function ask(url: string, options: AskOptions = {}): Promise<Answer> {
  const {
    method = 'GET',
    headers = {},
    body,
    from = '127.0.0.1',
    chunked = false,
    signal,
    agent = false,
    ca,
  } = options;
  const start = url.startsWith('https:') ? requestByTls : request;
  const length = body === undefined || chunked ? {} : { 'Content-Length': Buffer.byteLength(body) };
  return new Promise((done, fail) => {
    const asked = start(
      url,
      {
        method,
        headers: { ...length, ...(chunked && { 'Transfer-Encoding': 'chunked' }), ...headers },
        localAddress: from,
        agent,
        ...(signal && { signal }),
        ...(ca && { ca }),
      },
      answer => {
        const { statusCode: status = 0, headers } = answer;
        text(answer).then(body => done({ status, headers, body }), fail);
      },
    );
    asked.on('error', fail);
    asked.end(body);
  });
}

export type HmacKey = { key: string; hash?: string };

/** The header that signs a message, as macen reads it. */
export function signed(
  message: string | Buffer,
  { key, hash = 'sha256' }: HmacKey,
): { Authentication: string } {
  return { Authentication: `hmac name=${hash}, hash=${createHmac(hash, key).update(message).digest('hex')}` };
}
