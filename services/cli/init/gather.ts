import type { AccountConfig } from '../../../shared/ca/account-section.ts';
import { UsageError } from '../command.ts';
import { type Answers, type Client, type Proof, type ProofKind, toWords } from './answers.ts';
import { type Answering, findMissing, type Given, openAnswering, type Terminal } from './ask.ts';
import type { Facts } from './facts.ts';
import { gatherCa } from './gather-ca.ts';
import type { LookAtCa } from './look-at-ca.ts';
import { isForThisMachine, isLocal, portOf } from './main-ini.ts';
import {
  challengeQuestion,
  type Defaults,
  dnsServerQuestion,
  emailQuestion,
  findContactFault,
  parseListeners,
  programQuestion,
  toPortQuestion,
  toQuestions,
  tsigQuestion,
} from './questions.ts';

export type Asked = {
  given: Given;
  terminal: Terminal | undefined;
  /** `--yes`: a default is taken where nothing is given. */
  takesDefaults: boolean;
  facts: Facts;
  defaults: Defaults;
  /** The account of the file that is there already. */
  before: AccountConfig | undefined;
  /** Where relative paths start. */
  folder: string;
  lookAtCa: LookAtCa;
};

/**
 * All answers, from options and from whoever is at the terminal.
 *
 * @throws UsageError that names the options which are missing, or the one that will not do
 */
export async function gatherAnswers(asked: Asked): Promise<Answers> {
  const { given, terminal, takesDefaults, facts, defaults } = asked;
  const questions = toQuestions(facts, defaults);
  const missing = findMissing(Object.values(questions), given, takesDefaults);
  if (!terminal && missing.length > 0) {
    const terms = given['accept-terms'] === undefined && !asked.before ? ['--accept-terms'] : [];
    throw new UsageError(`there is no terminal to ask at: give ${[...missing, ...terms].join(', ')}`);
  }
  const answering = openAnswering(given, terminal, takesDefaults);
  const first = await answering.answer(questions.email);
  // What is wrong with an option is said before the CA is asked.
  for (const question of [questions.names, questions.prove, questions.clients])
    if (given[question.option] !== undefined) await answering.answer<unknown>(question);
  const ca = await gatherCa(answering, questions.ca, asked);
  const contact = await askAgain(first, ca.directory, asked);
  const names = await answering.answer(questions.names);
  const proof = await gatherProof(answering, await answering.answer(questions.prove), asked);
  const clients = await answering.answer(questions.clients);
  const listeners = given.listen === undefined ? keepListeners(clients, asked) : readListeners(given.listen);
  return { ...(contact !== undefined && { contact }), ca, names, proof, clients, listeners };
}

/** Those of before, unless they would let in nobody of those who may ask now. */
function keepListeners(clients: readonly Client[], { defaults, facts }: Asked): string[] {
  const before = toWords(defaults.listen ?? '');
  if (facts.isComposed || isForThisMachine(clients) || !before.every(isLocal)) return before;
  return before.slice(0, 1).map(listener => `0.0.0.0:${portOf(listener)}`);
}

function readListeners(text: string): string[] {
  return parseListeners(text, reason => {
    throw new UsageError(`--listen: ${text} ${reason}`);
  });
}

/** For an address that this CA is known to refuse. */
async function askAgain(
  contact: string | undefined,
  directory: string,
  { terminal }: Pick<Asked, 'terminal'>,
): Promise<string | undefined> {
  const fault = findContactFault(contact, directory);
  if (fault === undefined) return contact;
  if (!terminal) throw new UsageError(`--email: ${fault}`);
  terminal.say(`\n  ${fault}\n`);
  const again = await openAnswering({}, terminal, false).answer(emailQuestion('none'));
  return askAgain(again, directory, { terminal });
}

async function gatherProof(answering: Answering, kind: ProofKind, asked: Asked): Promise<Proof> {
  const { folder, defaults } = asked;
  const where = { folder, isService: asked.facts.isService };
  switch (kind) {
    case 'http':
    case 'tls-alpn':
      return { kind, port: await gatherPort(answering, kind, asked) };
    case 'dns': {
      const server = await answering.answer(dnsServerQuestion(defaults['dns-server']));
      const key = await answering.answer(tsigQuestion(folder, defaults['tsig-key-file']));
      return { kind, server, ...(key && { key }) };
    }
    case 'program': {
      const command = await answering.answer(programQuestion(where, 'program', defaults.program));
      const challenge = await answering.answer(challengeQuestion(defaults['program-challenge'] ?? 'http-01'));
      const wanted = programQuestion(where, 'cleanup-program', undefined);
      const cleanup = asked.given['cleanup-program'] && (await answering.answer(wanted));
      return { kind, command, challenge, ...(cleanup && { cleanup }) };
    }
  }
}

const ports = { http: { outside: 80, inside: 1380 }, 'tls-alpn': { outside: 443, inside: 13_443 } };

/** That of the CA where this machine has it to give, else one that web servers pass challenges on to. */
async function gatherPort(answering: Answering, kind: 'http' | 'tls-alpn', asked: Asked): Promise<number> {
  const { defaults, facts } = asked;
  const { outside, inside } = ports[kind];
  const before = facts.isComposed || defaults.prove === kind ? defaults.port : undefined;
  const state = await facts.tryPort(outside);
  const isFree = state === 'free' || (state === 'forbidden' && facts.isComposed);
  const why = {
    free: `Port ${outside} of this machine is free, so Quarry can have it.`,
    taken: `Something on this machine has port ${outside}, such as a web server, which can pass challenges on.`,
    forbidden: `Only root may listen on port ${outside}; something that does can pass challenges on.`,
  };
  const question = toPortQuestion(kind, {
    fallback: before ?? String(isFree ? outside : inside),
    why: why[isFree ? 'free' : state],
  });
  // It is a detail, which scripts need not know of.
  const { terminal, ...parts } = asked;
  return (terminal ? answering : openAnswering(parts.given, undefined, true)).answer(question);
}
