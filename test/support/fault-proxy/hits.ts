import { EventEmitter, once } from 'node:events';
import { lastStopMs } from '../wait-until.ts';
import type { ProxiedRequest } from './request.ts';

/** The requests that a rule acted on, and who waits for them. @param what names them in messages */
export function createHits(what: string) {
  const all: ProxiedRequest[] = [];
  const events = new EventEmitter().setMaxListeners(0);
  const ended = new AbortController();

  const nth = async (n: number, timeoutMs: number): Promise<ProxiedRequest> => {
    const signal = AbortSignal.any([ended.signal, AbortSignal.timeout(timeoutMs)]);
    while (true) {
      const request = all[n - 1];
      if (request) return request;
      await once(events, 'hit', { signal }).catch(() => {
        const why = ended.signal.aborted ? 'the rule was removed' : 'timed out';
        throw new Error(`${why}: it hit ${what} ${all.length} times, not ${n}`);
      });
    }
  };
  return {
    all,
    add(request: ProxiedRequest) {
      all.push(request);
      events.emit('hit');
    },
    end: () => ended.abort(),
    wait(n = 1, timeoutMs = lastStopMs) {
      const promise = nth(n, timeoutMs);
      promise.catch(() => {}); // A test that failed elsewhere waits no more.
      return promise;
    },
  };
}
