import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context } from 'koa';
import { plainAddress } from '../../../shared/base/identifier.ts';
import type { Clients } from './sign.ts';

/** Beside the roles, and in an npm package beside the folder of what was compiled. */
const folders = ['../../get', '../../../../services/get'].map(path => join(import.meta.dirname, path));

/** The line of the script that its server fills in. */
const emptyServer = "SERVER=''";

/** A host name or an address, and a port (RFC 9110 section 7.2): nothing that a shell reads otherwise. */
const hostPattern = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9]([a-z0-9._-]{0,252}[a-z0-9])?)(:\d{1,5})?$/i;

/**
 * `GET /quarry-get`: the script by which hosts get certificates, with the URL of this server in it. It holds
 * no secret, so everybody may have it.
 *
 * @param url of the ACME server, whose origin is where hosts reach this one; without it they are told to come
 *   again to where this one came
 * @throws an HTTP error: 400 where the request does not say how it came here
 */
export async function answerQuarryGet(
  ctx: Context,
  { url, isTrustedProxy }: { url: string | undefined; isTrustedProxy: Clients['isTrustedProxy'] },
): Promise<void> {
  const server = url === undefined ? originOf(ctx, isTrustedProxy) : new URL(url).origin;
  const folder = folders.find(existsSync) ?? '';
  const script = await readFile(join(folder, 'quarry-get'), 'utf8');
  ctx.type = 'text/x-shellscript; charset=utf-8';
  ctx.set('Cache-Control', 'no-store');
  ctx.body = script.replace(`\n${emptyServer} `, () => `\nSERVER='${server}' `);
}

function originOf(ctx: Context, isTrustedProxy: Clients['isTrustedProxy']): string {
  const host = ctx.req.headers.host ?? '';
  if (!hostPattern.test(host)) {
    ctx.throw(400, 'the Host header is no host name or address: ask for the URL as others reach it');
  }
  const remote = ctx.req.socket.remoteAddress ?? '';
  const behindTls =
    ctx.get('X-Forwarded-Proto') === 'https' && isTrustedProxy(plainAddress(remote) ?? remote);
  return `${behindTls ? 'https' : ctx.protocol}://${host}`;
}
