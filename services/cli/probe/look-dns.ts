import { asking } from '../../../shared/dns/query.ts';
import { toDns01Record } from '../../../shared/solver/dns01-record.ts';
import type { Look } from './try-listeners.ts';

const TIMEOUT = 5_000;

/**
 * Asks a listener of a responder as a resolver would.
 *
 * @param place where the record is to be seen
 * @throws Error with what is wrong, in one line
 */
export function lookDns(place: string): Look {
  return async (at, response, signal) => {
    const { rcode, answers } = await asking(at, { recursive: false, timeout: TIMEOUT })(place, 'TXT', signal);
    const { value } = toDns01Record(response);
    if (answers.some(record => record.type === 'TXT' && record.value === value)) return;
    if (rcode === 'NXDOMAIN' || rcode === 'NOERROR')
      throw new Error('answers, but does not know the test record: another Redis, or no responder');
    throw new Error(`answers ${rcode} for ${place}: another name server, or a responder with other zones`);
  };
}
