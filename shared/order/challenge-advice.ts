import { problemKind } from '../acme/problem.ts';
import type { Problem } from '../base/errors.ts';

const web = 'serve /.well-known/acme-challenge/, or pass it on to a responder of Quarry';

/** By the type of the challenge, and the kind of what the CA found (RFC 8555 section 6.7). */
const remedies: Record<string, Record<string, string>> = {
  'http-01': {
    dns: `add A or AAAA records that lead to a web server, which has to ${web}`,
    connection: 'open port 80 to all, as CAs come from many addresses',
    unauthorized: `what answers on port 80 has to ${web}`,
    incorrectResponse: `what answers on port 80 has to ${web}`,
  },
  'tls-alpn-01': {
    dns: 'let A or AAAA records lead to a responder',
    connection: 'open port 443 to all, as CAs come from many addresses, and let it lead to a responder',
    unauthorized: 'pass port 443 on to a responder of Quarry as it is, with TLS not ended before it',
    tls: 'pass port 443 on to a responder of Quarry as it is, with TLS not ended before it',
  },
};

/** What to do about a challenge that the CA did not find answered. */
export function adviseOnChallenge(type: string, problem: Problem): string | undefined {
  return remedies[type]?.[problemKind(problem)];
}
