import type { Context } from 'koa';
import { readBody } from '../routes/sign.ts';

/**
 * The body of a request. It may come in chunks, without its length: so a proxy sends what came to it by
 * HTTP/2 or HTTP/3, where clients need not say a length.
 *
 * @param maxSize bytes
 * @throws HttpError 411 where it has neither a length nor chunks, 413 where it is larger, 400 where it ends
 *   early
 */
export async function readRequest(ctx: Context, maxSize: number): Promise<Buffer> {
  if (ctx.get('Transfer-Encoding') === '') return readBody(ctx, maxSize, 'request');
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    // What is left unread must not close the connection before the answer is sent.
    for await (const chunk of ctx.req.iterator({ destroyOnReturn: false })) {
      size += chunk.length;
      if (size > maxSize) break;
      chunks.push(chunk);
    }
  } catch (error) {
    ctx.throw(400, 'the body ended early', { cause: error });
  }
  if (size > maxSize)
    ctx.throw(413, `the request is over ${maxSize} bytes`, { headers: { Connection: 'close' } });
  return Buffer.concat(chunks);
}
