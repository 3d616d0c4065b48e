import type { Log } from '../../../shared/base/basics.ts';
import { describeError } from '../../../shared/base/errors.ts';
import type { Live } from '../../../shared/base/live.ts';
import type { RecordsFound } from '../../../shared/solver/dns-records.ts';
import { answerQuery } from './answer.ts';
import { formatRcode, Rcode } from './codes.ts';
import type { ParsedQuery, Query } from './query.ts';
import { type Answer, encodeFault, encodeReply } from './reply.ts';
import type { LookUp } from './share-lookups.ts';
import type { Zones } from './zones.ts';

type Transport = 'udp' | 'tcp';

/**
 * Replies once to what may be answered, at once or later; never throws.
 *
 * @param limit bytes
 */
export type Respond = (
  parsed: NonNullable<ParsedQuery>,
  transport: Transport,
  limit: number,
  reply: (message: Buffer) => void,
) => void;

/**
 * @param zones those of the moment
 * @param count called for each answer
 */
export function responding(
  { zones, lookUp, log }: { zones: Live<Zones>; lookUp: LookUp<RecordsFound>; log: Log },
  count: (rcode: string, transport: Transport) => void,
): Respond {
  function failToLookUp(error: Error): Answer {
    log.warn({ reason: describeError(error) }, 'challenge cannot be looked up');
    return { rcode: Rcode.serverFailure };
  }

  /** A bug must not keep the questions from their answers that are told of their records after this one. */
  function encode(query: Query, toAnswer: () => Answer, transport: Transport, limit: number): Buffer {
    try {
      const answer = toAnswer();
      const reply = encodeReply(query, answer, limit);
      const { name: question, type } = query;
      const rcode = formatRcode(answer.rcode);
      log.debug({ question, type, rcode, records: answer.records?.length ?? 0 }, 'challenge asked for');
      count(rcode, transport);
      return reply;
    } catch (error) {
      log.error({ reason: describeError(error) }, 'a question was not answered');
      return encodeFault(query.message, Rcode.serverFailure);
    }
  }

  return (parsed, transport, limit, reply) => {
    if ('fault' in parsed) {
      count(formatRcode(parsed.fault), transport);
      return reply(encodeFault(parsed.message, parsed.fault));
    }
    const { query } = parsed;
    const answer = answerQuery(zones.current, query);
    if (typeof answer !== 'function') return reply(encode(query, () => answer, transport, limit));
    lookUp(query.name, found => {
      const toAnswer = () => (found instanceof Error ? failToLookUp(found) : answer(found));
      reply(encode(query, toAnswer, transport, limit));
    });
  };
}
