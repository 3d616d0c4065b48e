import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { describeSection } from '../../../shared/config/config-error.ts';
import { readProxy } from '../../../shared/config/proxy.ts';
import type { Answers, CaAnswer } from './answers.ts';
import type { Terminal } from './ask.ts';
import { readVariables } from './compose.ts';
import type { Existing } from './existing.ts';
import { findFacts } from './facts.ts';
import { gatherAnswers } from './gather.ts';
import { keepOld } from './keep.ts';
import { openLookAtCa } from './look-at-ca.ts';
import { type Place, renderIni, type Section, toListeners, toSections } from './main-ini.ts';
import type { Setup } from './setup.ts';

/** A main.ini that is not written yet, and what it is made of. */
export type Made = {
  answers: Answers;
  sections: Section[];
  /** Those of before, of which nobody was asked. */
  kept: Section[];
  text: string;
  listeners: string[];
  server: string;
  /** The certificate of the CA's own TLS, from where it was given. */
  copied: string | undefined;
};

/** Asks what is not known yet. */
export async function makeConfig(
  { given, place, folder, quarry, env }: Setup,
  before: Existing | undefined,
  terminal: Terminal | undefined,
): Promise<Made> {
  const facts = findFacts(place);
  const { port, listen, ...defaults } = before?.defaults ?? {};
  const ports = facts.isComposed ? await readVariables(folder) : { port, listen };
  const { ca, ...others } = await gatherAnswers({
    ...{ given, terminal, facts, folder },
    takesDefaults: given.yes !== undefined || (before !== undefined && !terminal),
    defaults: { ...defaults, ...ports },
    before: before?.account,
    lookAtCa: openLookAtCa(readProxy(env)),
  });
  const answers: Answers = { ...others, ca: atService(ca, place) };
  const { hasIpv6, server } = facts;
  const made = toSections(answers, place, { hasIpv6, makeKey: () => randomBytes(32).toString('base64') });
  const sections = before ? keepOld(before.sections, made) : made;
  const listeners = toListeners(answers, place, hasIpv6);
  const text = renderIni(sections, toCheck(place, quarry));
  const isMade = (section: Section) => made.some(one => describeSection(one) === describeSection(section));
  const kept = sections.filter(section => !isMade(section));
  return { answers, sections, kept, text, listeners, server, copied: ca.caFile };
}

/** A service's user cannot look everywhere, and neither can one in a container: it gets a copy. */
const atService = (ca: CaAnswer, { kind, file }: Place): CaAnswer =>
  kind !== 'here' && ca.caFile !== undefined ? { ...ca, caFile: join(dirname(file), 'ca.pem') } : ca;

const toCheck = ({ kind, file }: Place, quarry: string) =>
  kind === 'compose'
    ? 'docker compose run --rm worker check /etc/quarry/main.ini'
    : `${quarry} check ${file}`;
