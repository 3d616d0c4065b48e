import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { isLoopback } from '../base/address.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import type { AccountKey } from './account-key.ts';
import { NoncePool } from './nonce-pool.ts';

const REQUEST_TIMEOUT = 30_000;
const LARGEST_ANSWER = 1024 * 1024;

/** An answer of the CA: header names in lower case, JSON read, else the text. As acme-client has it. */
export type HttpAnswer = { status: number; headers: Record<string, string | undefined>; data: unknown };

/** What all requests of one process to one CA share: connections, nonces, the directory. */
export type CaConnection = {
  directoryUrl: string;
  userAgent: string;
  agent: PlainAgent;
  plainAgent: PlainAgent;
  nonces: NoncePool;
  clock: Clock;
  /** The one that was used last. */
  accountKey?: AccountKey;
  directory?: { answer: Record<string, unknown>; at: number };
};

/**
 * Opens what all requests to one CA share; asks nothing yet. Dispose of it to close its connections.
 *
 * @param options `directoryUrl`: RFC 8555 section 7.1.1; `userAgent`: section 6.1; `ca`: PEM certificates of the
 *   authorities to trust in place of the system's; `clock`: where a test turns the time
 */
export function openCaConnection(options: {
  directoryUrl: string;
  userAgent: string;
  clock?: Clock;
  ca?: string[] | undefined;
}): CaConnection & Disposable {
  const { clock = systemClock } = options;
  const keepAlive = { keepAlive: true, keepAliveMsecs: 10_000, scheduling: 'lifo' as const };
  const agent = new TlsAgent(options.ca ? { ...keepAlive, ca: options.ca } : keepAlive);
  const plainAgent = new PlainAgent(keepAlive);
  return {
    ...options,
    clock,
    agent,
    plainAgent,
    nonces: new NoncePool(),
    [Symbol.dispose]() {
      agent.destroy();
      plainAgent.destroy();
    },
  };
}

/**
 * One request, one answer: no retry, no redirect, whatever the status.
 *
 * @throws IssuanceError `unavailable` when there is no answer, `unexpected` when it is too large; or the signal's reason
 */
export async function sendRequest(
  connection: CaConnection,
  signal: AbortSignal,
  url: string,
  method: string,
  data: unknown,
): Promise<HttpAnswer> {
  const target = checkUrl(url);
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT);
  const body = data === undefined ? undefined : JSON.stringify(data);
  const secure = target.protocol === 'https:';
  const options = {
    method: method.toUpperCase(),
    agent: secure ? connection.agent : connection.plainAgent,
    signal: AbortSignal.any([signal, timeout]),
    headers: {
      'User-Agent': connection.userAgent,
      ...(body && { 'Content-Type': 'application/jose+json', 'Content-Length': Buffer.byteLength(body) }),
    },
  };
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = (secure ? tlsRequest : plainRequest)(target, options, resolve);
      request.on('error', reject);
      request.end(body);
    });
    return await readAnswer(response);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof IssuanceError) throw error;
    const reason = timeout.aborted
      ? `no answer within ${REQUEST_TIMEOUT / 1000} seconds`
      : describeError(error);
    throw new IssuanceError('unavailable', `the CA at ${target.host} cannot be reached: ${reason}`, {
      cause: error,
    });
  }
}

/** Account keys sign whatever URL the CA names: only https, but for a CA on this very machine. */
function checkUrl(url: string): URL {
  const target = URL.canParse(url) ? new URL(url) : undefined;
  if (target?.protocol === 'https:') return target;
  if (target?.protocol === 'http:' && isLoopback(target.hostname)) return target;
  throw new IssuanceError('unexpected', 'the CA named a URL that is not https');
}

async function readAnswer(response: IncomingMessage): Promise<HttpAnswer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += (chunk as Buffer).length;
    if (size > LARGEST_ANSWER) throw new IssuanceError('unexpected', "the CA's answer is too large");
    chunks.push(chunk as Buffer);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : value,
    ]),
  );
  return { status: response.statusCode ?? 0, headers, data: parseBody(headers['content-type'], text) };
}

function parseBody(contentType: string | undefined, text: string): unknown {
  if (!/^application\/(\w+\+)?json\b/.test(contentType ?? '')) return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new IssuanceError('unavailable', 'the CA answered with damaged JSON', { cause: error });
  }
}
