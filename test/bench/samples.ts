import type { Subject, Tell } from './benchmark.ts';

/** All that a subject measures of this tree, by figure. */
export async function takeSamples(subject: Subject, tell: Tell): Promise<(figure: string) => number[]> {
  const samples = new Map<string, number[]>();
  for await (const { figure, value } of subject({}, tell))
    samples.set(figure, [...(samples.get(figure) ?? []), value]);
  return figure => samples.get(figure) ?? [];
}
