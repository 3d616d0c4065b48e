import { Session } from 'node:inspector/promises';
import { parentPort } from 'node:worker_threads';

// Counts what reading a CSR takes, in a thread of its own: all that a thread compiles while it counts stays
// slow, whatever test it is for, and of what it has compiled before it counts no blocks.

export type Work = {
  /** How often functions of the product, and the blocks in them, were entered. */
  entered: number;
  /** The code and the message of what was refused. */
  refused?: { code: string; message: string };
};

const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
const { IssuanceError } = await import('../../../shared/base/errors.ts');
const { parseCsr, readCsr } = await import('../../../shared/pki/csr.ts');

async function countWork(body: Uint8Array): Promise<Work> {
  await session.post('Profiler.takePreciseCoverage'); // begins at 0
  const refused = refusalOf(Buffer.from(body));
  const { result } = await session.post('Profiler.takePreciseCoverage');
  const entered = result
    .filter(({ url }) => /^file:.*\/shared\/(pki|base)\//.test(url) && !url.includes('/test/'))
    .flatMap(({ functions }) => functions.flatMap(({ ranges }) => ranges))
    .reduce((sum, { count }) => sum + count, 0);
  return { entered, ...(refused && { refused }) };
}

function refusalOf(body: Buffer): Work['refused'] {
  try {
    parseCsr(readCsr(body).der);
    return undefined;
  } catch (error) {
    if (!(error instanceof IssuanceError)) throw error;
    return { code: error.code, message: error.message };
  }
}

parentPort?.on('message', async (body: Uint8Array) => parentPort?.postMessage(await countWork(body)));
