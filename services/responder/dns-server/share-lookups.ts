/**
 * Has questions that arrive together share one look-up for a name, as a CA asks from several places at once.
 * A look-up begins when all that have arrived by now are read, so no answer is older than its question.
 */
export function sharingLookups<T>(look: (name: string) => Promise<T>): (name: string) => Promise<T> {
  const waiting = new Map<string, PromiseWithResolvers<T>>();

  function begin(): void {
    for (const [name, { resolve, reject }] of waiting) look(name).then(resolve, reject);
    waiting.clear();
  }

  return name => {
    const known = waiting.get(name);
    if (known) return known.promise;
    if (waiting.size === 0) setImmediate(begin);
    const asked = Promise.withResolvers<T>();
    waiting.set(name, asked);
    return asked.promise;
  };
}
