import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { findGo, provision } from './provision.ts';
import { tempDir } from './temp-dir.ts';

// Readers of CSRs that are not ours, each a program of its own that reads many at once.

const run = promisify(execFile);
const sources = join(import.meta.dirname, 'csr-readers');

/** What a reader accepts: the SANs, and what is in the subject. */
export type CsrReading = {
  /** Why it accepts nothing. */
  error?: string;
  /** As they stand there, latin1. */
  dns: string[];
  ips: Buffer[];
  /** SANs of other kinds. */
  others: number;
  commonNames: string[];
};

export type CsrReader = {
  name: string;
  /** @returns one for each CSR, in their order */
  read(csrs: readonly Buffer[]): Promise<CsrReading[]>;
};

/** OpenSSL's, by a compiler that is installed where it is missing; and Go's, where Go is there. */
export async function buildCsrReaders(): Promise<{ readers: CsrReader[] } & AsyncDisposable> {
  const { cc } = await provision(['cc', 'libc-headers', 'libcrypto-headers']);
  const dir = await tempDir();
  const [byOpenssl, byGo] = [join(dir.path, 'openssl'), join(dir.path, 'go')];
  const go = findGo();
  await Promise.all([
    run(cc, ['-o', byOpenssl, join(sources, 'reader.c'), '-lcrypto']),
    go && run(go, ['build', '-o', byGo, join(sources, 'reader.go')]),
  ]);
  const readers = [toReader('OpenSSL', byOpenssl), ...(go ? [toReader('Go', byGo)] : [])];
  return { readers, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
}

function toReader(name: string, program: string): CsrReader {
  return {
    name,
    async read(csrs) {
      const running = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
      running.stdin.end(csrs.map(csr => `${csr.toString('hex')}\n`).join(''));
      const lines = (await text(running.stdout)).trim().split('\n');
      if (lines.length !== csrs.length) throw new Error(`${name} read ${lines.length} of ${csrs.length}`);
      return lines.map(toReading);
    },
  };
}

function toReading(line: string): CsrReading {
  const { error, dns = [], ips = [], others = 0, commonNames = [] } = JSON.parse(line);
  const bytes = (hex: string) => Buffer.from(hex, 'hex');
  return {
    ...(error && { error }),
    dns: (dns ?? []).map((name: string) => bytes(name).toString('latin1')),
    ips: (ips ?? []).map(bytes),
    others,
    commonNames: (commonNames ?? []).map((name: string) => bytes(name).toString()),
  };
}
