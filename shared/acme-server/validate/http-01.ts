import { isReserved } from '../../base/reserved-addresses.ts';
import { openHttpLook, toHttp01Url } from '../../solver/http-look.ts';
import { LONGEST_LOOK, type Look, toKeyAuthorization } from './look.ts';

/**
 * RFC 8555 section 8.3, RFC 8738 section 5. Of an address that is not public, and not the client's own, the
 * client does not learn what was seen there, as it could lead a name or a redirect anywhere.
 */
export const lookByHttp: Look = async (proof, { httpPort, client, ...sight }, signal) => {
  const url = toHttp01Url(proof.identifier, proof.token);
  const look = openHttpLook({ ...sight, port: httpPort, deadline: LONGEST_LOOK });
  const looked = await look(url, signal);
  const isSeen = 'status' in looked && looked.status === 200;
  if (isSeen && looked.body.trimEnd() === toKeyAuthorization(proof)) return undefined;
  const kind = 'status' in looked ? 'incorrectResponse' : looked.cause;
  const seen = 'status' in looked ? describeStatus(looked.status) : looked.fault;
  if ('hidden' in looked) return { kind, detail: `${url.href}: it leads to no public address`, hidden: seen };
  const isOpen = looked.visited.every(address => !isReserved(address) || address === client);
  const at = looked.visited.length > 0 ? ` (${looked.visited.join(', ')})` : '';
  if (isOpen) return { kind, detail: `${url.href}${at}: ${seen}` };
  return { kind: 'incorrectResponse', detail: `${url.href}: the response is not there`, hidden: seen + at };
};

const describeStatus = (status: number) =>
  status === 200 ? 'another answer than the key authorization' : `status ${status}`;
