import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openInspector } from './inspector.ts';
import type { Process } from './processes.ts';
import { root } from './read-sources.ts';

// Which files of the product a running process enters, as V8's profiler counts it.

/** For each file of the product, the functions of it that were called. */
export type Called = Map<string, string[]>;

export type CallCount = Disposable & {
  /** What was called since the last time, or since the beginning. */
  take(): Promise<Called>;
};

/** Begins to count in a process that was started with `inspectable`. */
export async function countCalls(running: Process): Promise<CallCount> {
  const inspector = await openInspector(running);
  await inspector.send('Profiler.enable');
  await inspector.send('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  return {
    async take() {
      const { result } = (await inspector.send('Profiler.takePreciseCoverage')) as Coverage;
      return readCalled(result);
    },
    [Symbol.dispose]: () => inspector.close(),
  };
}

/** As the Chrome DevTools Protocol has it. */
type Coverage = {
  result: {
    url: string;
    functions: { functionName: string; ranges: { startOffset: number; count: number }[] }[];
  }[];
};

function readCalled(scripts: Coverage['result']): Called {
  const called: Called = new Map();
  for (const { url, functions } of scripts) {
    if (!url.startsWith('file:')) continue;
    const path = relative(root, fileURLToPath(url));
    if (!/^(shared|services)\//.test(path)) continue;
    const names = functions.filter(isCalled).map(({ functionName }) => functionName);
    if (names.length > 0) called.set(path, names);
  }
  return called;
}

/** What stands at the beginning is the module itself, which is run once. */
const isCalled = ({ ranges: [whole] }: Coverage['result'][number]['functions'][number]) =>
  whole !== undefined && whole.startOffset > 0 && whole.count > 0;
