import { systemClock } from '../../../shared/base/basics.ts';
import { findUnreadable, toVariables, writeVariables } from './compose.ts';
import type { Made } from './make-config.ts';
import { tellNextSteps } from './next-steps.ts';
import { isFromDebian } from './place.ts';
import type { Setup } from './setup.ts';
import { startService } from './systemd.ts';

/**
 * Once main.ini is there: sets what compose needs, starts the service where it is to run, and says what to do
 * next.
 *
 * @param was `isSame`: whether main.ini said all that already; `isAgain`: whether there was one
 */
export async function finish(
  { answers, sections, listeners, server }: Made,
  { given, place, parts, folder, quarry, io }: Setup,
  was: { isSame: boolean; isAgain: boolean },
): Promise<void> {
  const isStarted = given.systemd !== undefined;
  const isComposed = place.kind === 'compose';
  const variables = isComposed ? toVariables(answers, place.file, folder) : {};
  if (isComposed) await writeVariables(folder, variables);
  if (isStarted) await io.write('\n');
  if (isStarted) await startService({ ...parts, clock: systemClock }, was.isSame);
  const before = isComposed ? findUnreadable(place.file) : undefined;
  const setting = {
    place,
    quarry,
    isDebian: isFromDebian(parts.program),
    isStarted,
    isAgain: was.isAgain,
    isRoot: parts.isRoot,
    server,
    ...(before !== undefined && { before }),
  };
  const doors = isComposed ? [variables.QUARRY_PORT ?? ''] : listeners;
  await io.write(`\n${tellNextSteps(answers, sections, { ...setting, listeners: doors })}`);
}
