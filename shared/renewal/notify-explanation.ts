import type { Notices } from '../queue/notices.ts';
import type { ExplainedWindow } from './renewal-window.ts';

/** A page of the CA's about its window, which may concern all of its certificates: that is one event. */
export async function notifyOfExplanation(
  notices: Pick<Notices, 'notify'>,
  names: string[],
  { start, end, explanationUrl: subject }: ExplainedWindow,
): Promise<void> {
  const [from, to] = [start, end].map(time => new Date(time).toISOString());
  const detail = `${subject} (to be renewed between ${from} and ${to})`;
  await notices.notify({ kind: 'renewal-explained', subject, names, detail });
}
