import { describeError } from '../../base/errors.ts';
import type { DnsMessage } from '../../dns/message.ts';
import { openResolver } from '../../solver/resolver.ts';
import { LONGEST_LOOK, type Look, toDigest } from './look.ts';

/** RFC 8555 section 8.4. The resolver follows CNAMEs; any one of several records will do. */
export const lookInDns: Look = async (proof, { resolvers }, signal) => {
  const name = `_acme-challenge.${proof.identifier.value.replace(/^\*\./, '')}`;
  const wanted = toDigest(proof).toString('base64url');
  try {
    const reply = await openResolver(resolvers, LONGEST_LOOK / 2)(name, 'TXT', signal);
    const values = readTexts(reply, name);
    if (values.includes(wanted)) return undefined;
    if (values.length > 0)
      return { kind: 'incorrectResponse', detail: `${describeCount(values.length)} ${name} ${WRONG}` };
    const code = reply.rcode === 'NOERROR' ? '' : ` (${reply.rcode})`;
    return { kind: 'dns', detail: `there is no TXT record at ${name}${code}` };
  } catch (error) {
    signal.throwIfAborted();
    return {
      kind: 'dns',
      detail: `the TXT records at ${name} cannot be looked up`,
      hidden: describeError(error),
    };
  }
};

const WRONG = 'is the digest of the key authorization';

const describeCount = (count: number) =>
  count === 1 ? 'not the one TXT record at' : `none of the ${count} TXT records at`;

/** The values at the name, or where its CNAMEs lead. */
function readTexts({ answers }: DnsMessage, name: string): string[] {
  const names = new Set([name]);
  // A Set's loop also goes through what is added meanwhile.
  for (const at of names)
    for (const answer of answers) if (answer.type === 'CNAME' && answer.name === at) names.add(answer.target);
  return answers.flatMap(answer => (answer.type === 'TXT' && names.has(answer.name) ? [answer.value] : []));
}
