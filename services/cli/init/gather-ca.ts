import type { Directory } from '../../../shared/acme/directory.ts';
import type { AccountConfig } from '../../../shared/ca/account-section.ts';
import { UsageError } from '../command.ts';
import type { CaAnswer } from './answers.ts';
import type { Answering, Given, Question } from './ask.ts';
import { isDistrusted, type LookAtCa, toTermsUrl } from './look-at-ca.ts';
import { caFileQuestion, eabKeyQuestion, eabKidQuestion } from './questions.ts';

type Parts = {
  given: Given;
  /** The account of the file that is there already. */
  before: AccountConfig | undefined;
  /** Where relative paths start. */
  folder: string;
  lookAtCa: LookAtCa;
};

/** `found` is undefined where the CA cannot be asked, and its terms are accepted all the same. */
type AskedCa = { directory: string; caFile?: string; found: Directory | undefined; fault?: string };

/** The CA, and what it wants of its customers: it is asked, as somebody has to read its terms. */
export async function gatherCa(
  answering: Answering,
  question: Question<string>,
  parts: Parts,
): Promise<CaAnswer> {
  let typed: string | undefined; // It stands for the next URL, too, where the first was mistyped.
  const askFile = async () => {
    typed = await answering.answer(caFileQuestion(parts.folder, typed));
    return typed;
  };
  const { directory, caFile, found, fault } = await answering.answer<AskedCa>({
    ...question,
    parse: async (text, fail) => {
      const url = await question.parse(text, fail);
      return look(answering, url, { ...parts, askFile }, fail);
    },
  });
  const before = parts.before?.acmeServer === directory ? parts.before : undefined;
  const terms = await agreeToTerms(answering, found, before);
  const eab = found?.externalAccountRequired && !before?.eab ? await gatherEab(answering, parts) : undefined;
  return {
    directory,
    ...(caFile !== undefined && { caFile }),
    ...(terms !== undefined && { terms }),
    ...(fault !== undefined && { fault }),
    ...(eab && { eab }),
  };
}

async function look(
  answering: Answering,
  directory: string,
  { given, before, lookAtCa, askFile }: Parts & { askFile(): Promise<string> },
  fail: (reason: string) => never,
): Promise<AskedCa> {
  const kept = before?.acmeServer === directory ? before.caFile : undefined;
  let caFile = given['ca-file'] === undefined ? kept : await askFile();
  let found = await lookAtCa(directory, caFile);
  if ('fault' in found && isDistrusted(found.fault) && caFile === undefined && answering.terminal) {
    answering.terminal.say(`  ${found.fault}\n`);
    caFile = await askFile();
    found = await lookAtCa(directory, caFile);
  }
  const asked = { directory, ...(caFile !== undefined && { caFile }) };
  if (!('fault' in found)) return { ...asked, found };
  if (given['accept-terms'] !== undefined) return { ...asked, found: undefined, fault: found.fault };
  return fail(`${found.fault}: look at the URL again; with --accept-terms the CA need not answer now`);
}

/** @returns the URL of the terms, or true for those that could not be seen; undefined where there are none */
async function agreeToTerms(
  answering: Answering,
  found: Directory | undefined,
  before: AccountConfig | undefined,
): Promise<string | true | undefined> {
  if (found && found.termsOfService === undefined) return undefined;
  const url = found && toTermsUrl(found);
  if (url !== undefined && Array.isArray(before?.termsOfService) && before.termsOfService.includes(url))
    return url;
  const where = url ?? 'which its directory does not say';
  const agreed = await answering.agree(
    `\n  The CA's terms of service: ${where}\n  Do you accept them?`,
    'accept-terms',
  );
  if (agreed) return url ?? true;
  if (answering.terminal) throw new Error('the CA issues to nobody who does not: nothing is written');
  throw new UsageError(`read the CA's terms of service, ${where}, and give --accept-terms`);
}

async function gatherEab(
  answering: Answering,
  { given, folder }: Parts,
): Promise<{ kid: string; hmacKey: string }> {
  const kid = await answering.answer(eabKidQuestion);
  const isFile = given['eab-hmac-key-file'] !== undefined || !answering.terminal;
  return { kid, hmacKey: await answering.answer(eabKeyQuestion(folder, isFile)) };
}
