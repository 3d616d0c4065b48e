/** Runs at most `most` acts at once; the others wait for their turn, in the order in which they came. */
export function atMost(most: number): <T>(act: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async act => {
    if (running < most) running++;
    else await new Promise<void>(go => waiting.push(go));
    try {
      return await act();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}
