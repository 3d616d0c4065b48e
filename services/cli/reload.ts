import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { readSecretOfRoles } from '../../shared/base/installation.ts';
import { openLog } from '../../shared/base/log.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { Store } from '../../shared/base/redis.ts';
import type { RedisAddress } from '../../shared/base/redis-address.ts';
import { loadConfig } from '../../shared/setup/load-config.ts';
import { type Command, needFiles, readWords } from './command.ts';
import { openFleetRedis } from './fleet-redis.ts';
import { noteOperator } from './operator-event.ts';
import { digestFiles, type ReloadAnswer, readAnswer, reloadChannels, toRequest } from './reload-messages.ts';

/** Milliseconds that the fleet has for its answers. */
const PATIENCE = 8_000;
const LOOK_AGAIN = 20;

/** `quarry reload`: every process of the fleet takes over what has changed in its files. */
export const reloadCommand: Command = {
  usage: ['reload FILE…'],
  summary: 'has all processes of a running fleet take over what has changed in their files',
  example: 'quarry reload main.ini',
  async run(words, { env, write }) {
    const files = needFiles('reload', readWords(words));
    const { secretFile } = await loadConfig(files, env); // a bad one ends here
    const secret = await readSecretOfRoles(secretFile).catch(() => undefined);
    const digest = secret && (await digestFiles(files, secret));
    using fleet = await openFleetRedis(files, env);
    await noteOperator(fleet, 'reload');
    const { answers, expected, readers } = await askFleet(fleet.store, fleet.address);
    for (const answer of inOrder(answers)) await write(`${describe(answer, digest)}\n`);
    if (readers > 0) await write(`${describeReaders(readers)}\n`);
    refuseFailed(answers, expected, readers);
  },
};

type Asked = {
  answers: ReloadAnswer[];
  /** How many heard that are to answer. All are connected to one node of a cluster, so it counts them all. */
  expected: number;
  /** How many responders heard. */
  readers: number;
};

async function askFleet({ redis, prefix }: Store, address: RedisAddress): Promise<Asked> {
  const { log } = await openLog({ level: 'silent', destination: 'stderr', format: 'json' });
  const channels = reloadChannels(prefix);
  const id = randomUUID();
  const answers: ReloadAnswer[] = [];
  const ear = openRedis(address, 'patient', log);
  ear.on('message', (_, text) => {
    const answer = readAnswer(text);
    if (answer?.id === id) answers.push(answer);
  });
  try {
    await ear.subscribe(channels.answers);
    const expected = await redis.publish(channels.asked, toRequest(id));
    const readers = await redis.publish(channels.askedReaders, toRequest(id));
    const deadline = Date.now() + PATIENCE;
    while (answers.length < expected && Date.now() < deadline) await delay(LOOK_AGAIN);
    return { answers, expected, readers };
  } finally {
    closeRedis(ear);
  }
}

const inOrder = (answers: readonly ReloadAnswer[]) =>
  answers.toSorted((a, b) => `${a.roles} ${a.host} ${a.pid}`.localeCompare(`${b.roles} ${b.host} ${b.pid}`));

/** @param digest of the files here; `undefined` where it cannot be told, for want of the secret */
function describe(answer: ReloadAnswer, digest: string | undefined): string {
  const { roles, host, pid, needsRestart } = answer;
  const parts = [
    describeOutcome(answer),
    ...(needsRestart.length > 0 ? [`needs a restart: ${needsRestart.join(', ')}`] : []),
    ...(digest !== undefined && answer.digest !== '' && answer.digest !== digest
      ? ['its files differ from these']
      : []),
  ];
  return `${roles} (${host}, pid ${pid}): ${parts.join('; ')}`;
}

function describeOutcome({ outcome, taken, reason }: ReloadAnswer): string {
  switch (outcome) {
    case 'taken':
      return `taken over: ${taken.join(', ')}`;
    case 'unchanged':
      return 'nothing has changed that can be taken over';
    case 'refused':
      return `kept the old one: ${reason ?? 'it does not say why'}`;
  }
}

const describeReaders = (count: number) =>
  `${count === 1 ? 'a responder was' : `${count} responders were`} told, and may not answer: ` +
  'its log and its /readyz say what became of it';

/** @throws Error where not all have taken over what they could */
function refuseFailed(answers: readonly ReloadAnswer[], expected: number, readers: number): void {
  if (answers.length === 0 && expected + readers === 0)
    throw new Error('no process of the fleet has heard it: does quarry run?');
  const refused = answers.filter(({ outcome }) => outcome === 'refused').length;
  const missing = expected - answers.length;
  if (refused > 0) throw new Error(`${refused} of ${answers.length} kept the old configuration`);
  if (missing > 0)
    throw new Error(`${missing} of ${expected} did not answer; their logs say what became of it`);
}
