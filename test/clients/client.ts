import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { type Found, keepBytecode } from '../support/bring.ts';

// What the matrix of real ACME clients asks of each of them.

/** What is tried with each client, in this order. */
export const cells = [
  'one name',
  'external account binding',
  'several names',
  'wildcard',
  'address',
  'renewal',
  'replaces',
  'revocation',
  'key change',
  'a refused name',
  'no binding',
  'a slow CA',
  'a killed intake',
  'mass revocation',
] as const;

export type Cell = (typeof cells)[number];

/** What a client is told by its owner, and the folder that it has to itself. */
export type Ground = {
  directoryUrl: string;
  /** What the server's certificate is verified against. */
  caFile: string;
  /** Of the account; undefined where none is needed. The key is base64url. */
  binding: { kid: string; key: string } | undefined;
  dir: string;
};

/** A chain, leaf first, and the key that it certifies, as PEM. */
export type Issued = { chain: string; keyPem: string };

/** Each call runs the client as its owner would. What fails throws a `ClientFailure`. */
export type Driver = {
  /** With an account, which is made where there is none yet. */
  issue(names: string[]): Promise<Issued>;
  /** Another certificate for what `issue` made; by force where the client would wait for its time. */
  renew?(names: string[]): Promise<Issued>;
  revoke?(names: string[]): Promise<void>;
  changeKey?(): Promise<void>;
  /** Waits until the client renews by itself, as renewal information says that it is time. */
  renewWhenTold?(names: string[]): Promise<Issued>;
  /** Of a client that is a server, and runs on. */
  stop?(): Promise<void>;
};

export type Client = {
  /** With its version, as people know it. */
  name: string;
  /** The program; or why it is not to be had here. */
  find(): Promise<Found>;
  open(ground: Ground, program: string): Promise<Driver>;
  /** Whether its account can be bound. Else it has the block that takes all from this address. */
  binds: boolean;
  /** It says what a certificate replaces only where renewal information has told it to renew. */
  replacesWhenTold?: true;
  /** What it cannot do, and so is not tried. */
  lacks: Partial<Record<Cell, string>>;
};

/** What a client said before it gave up. */
export class ClientFailure extends Error {
  readonly output: string;
  constructor(command: string, output: string) {
    super(`${command} failed:\n${output}`);
    this.output = output;
  }
}

export type RunOptions = { cwd: string; env?: Record<string, string | undefined>; stdin?: string };

/** What a command prints, to whichever stream; a `ClientFailure` where it does not end well. */
export async function runClient(command: string, args: string[], options: RunOptions): Promise<string> {
  const { cwd, env, stdin = '' } = options;
  const child = spawn(command, args, { cwd, env: { ...process.env, ...keepBytecode, HOME: cwd, ...env } });
  child.stdin.on('error', () => {}); // It need not read what it is given.
  child.stdin.end(stdin);
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  if (code !== 0) throw new ClientFailure([command, ...args].join(' '), out + err);
  return out + err;
}
