import { type Command, UsageError } from '../command.ts';
import { countMet, type Form, parseForm, readForm } from '../form.ts';
import { accountActions } from './account.ts';
import type { AcmeAction } from './action.ts';
import { certificateActions } from './certificate.ts';
import { challengeActions } from './challenge.ts';
import { keyActions } from './key.ts';
import { orderActions } from './order.ts';

export const acmeActions: AcmeAction[] = [
  ...keyActions,
  ...accountActions,
  ...orderActions,
  ...challengeActions,
  ...certificateActions,
];

/** `quarry acme`: ACME by hand, with concorde's grammar and output; it keeps nothing between two calls. */
export const acmeCommand: Command = {
  usage: ['acme key|unreg|reg …'],
  forms: acmeActions.map(({ usage }) => `acme ${usage}`),
  summary:
    'ACME by hand, step by step, with an account key of your own; needs neither a configuration nor Redis',
  example: 'quarry acme key create account.key.priv.pem',
  describe: words => describeActions(words.filter(word => !word.startsWith('-'))),
  async run(words, io) {
    if (words.length === 0) throw new UsageError('more words are needed; see quarry acme --help');
    const { index, given } = readForm(
      'quarry acme',
      acmeActions.map(({ usage }) => usage),
      words,
    );
    await acmeActions[index]?.run(given, io);
  },
};

/** Those actions that the words given so far lead to; all where they lead to none. */
function describeActions(words: string[]): string {
  const leadsTo = (form: Form) => countMet(form, words) >= Math.min(words.length, form.words.length);
  const met = acmeActions.filter(({ usage }) => leadsTo(parseForm(usage)));
  const shown = met.length > 0 ? met : acmeActions;
  const lines = shown.map(
    ({ usage, summary, example }) =>
      `quarry acme ${usage}\n    ${summary}\n    For example: quarry acme ${example}\n`,
  );
  return `${lines.join('\n')}
SERVER is the URL of the CA's directory; ids are URLs, as the CA gives them out. ACME_CAFILE names a file of the
authorities that the CA's own HTTPS certificate is checked with, in place of the system's.
`;
}
