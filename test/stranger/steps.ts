/** Tells what was done, and how long it took. */
export type Steps = {
  step<T>(what: string, act: () => Promise<T>): Promise<T>;
  /** Tells how long it has taken since the first step began. */
  tell(what: string): void;
};

/** @param before seconds that were needed before */
export function openSteps(title: string, say: (line: string) => void, before = 0): Steps {
  const start = performance.now();
  const toText = (seconds: number) => `  ${seconds.toFixed(1).padStart(6)} s  `;
  say(`\n${title}`);
  return {
    tell: what => say(`${toText(before + (performance.now() - start) / 1000)}${what}, in all`),
    async step(what, act) {
      const began = performance.now();
      const result = await act();
      say(`${toText((performance.now() - began) / 1000)}${what}`);
      return result;
    },
  };
}
