import { describeError, type Log } from '../../../shared/base/basics.ts';
import { type AnswerParts, answerQuery } from './answer.ts';
import { formatRcode, Rcode } from './codes.ts';
import type { ParsedQuery } from './query.ts';
import { type Answer, encodeFault, encodeReply } from './reply.ts';

type Transport = 'udp' | 'tcp';

/**
 * A reply to what may be answered; never rejects.
 *
 * @param limit bytes
 */
export type Respond = (
  parsed: NonNullable<ParsedQuery>,
  transport: Transport,
  limit: number,
) => Promise<Buffer>;

/** @param count called for each answer */
export function responding(
  parts: AnswerParts & { log: Log },
  count: (rcode: string, transport: Transport) => void,
): Respond {
  return async (parsed, transport, limit) => {
    if ('fault' in parsed) {
      count(formatRcode(parsed.fault), transport);
      return encodeFault(parsed.head, parsed.fault);
    }
    const { query } = parsed;
    const answer = await answerQuery(parts, query).catch((error): Answer => {
      parts.log.warn({ reason: describeError(error) }, 'challenge cannot be looked up');
      return { rcode: Rcode.serverFailure };
    });
    const { name: question, type } = query;
    const { rcode, records = [] } = answer;
    parts.log.debug(
      { question, type, rcode: formatRcode(rcode), records: records.length },
      'challenge asked for',
    );
    count(formatRcode(rcode), transport);
    return encodeReply(query, answer, limit);
  };
}
