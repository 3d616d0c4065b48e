import type { Context } from 'koa';

/**
 * Reads the body of a request that says how long it is.
 *
 * @throws an HTTP error: 411 without Content-Length, 413 when it is over `maxSize` bytes, 400 when the client leaves
 *   before it has sent them all
 */
export async function readBody(ctx: Context, maxSize: number, what = 'CSR'): Promise<Buffer> {
  const length = ctx.get('Content-Length');
  if (!/^\d+$/.test(length)) ctx.throw(411, 'a Content-Length header is needed');
  if (Number(length) > maxSize) {
    ctx.throw(413, `the ${what} is over ${maxSize} bytes`, { headers: { Connection: 'close' } });
  }
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of ctx.req) chunks.push(chunk as Buffer);
  } catch {
    ctx.throw(400, 'the body ended early');
  }
  return Buffer.concat(chunks);
}
