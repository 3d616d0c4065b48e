import type { IssuanceError } from '../base/errors.ts';
import { type DnsMessage, decodeMessage } from './message.ts';
import { exchangeSigned, type Peer, peerError } from './signed-exchange.ts';
import { encodeName, newId, uint16 } from './wire.ts';

// Dynamic updates (RFC 2136). They are encoded by hand, as dns-packet does not know class NONE.

/** One TXT record. `delete` removes the record with this value and leaves others of the same name. */
export type TxtChange = {
  do: 'add' | 'delete';
  name: string;
  /** Up to 255 characters of ASCII. */
  value: string;
  /** Seconds. */
  ttl: number;
};

/**
 * Changes one record of a zone on its server. Adding an existing record or deleting an absent one changes
 * nothing.
 *
 * @throws IssuanceError `misconfigured` with the reason when the server refuses; `unavailable` when it cannot
 *   be reached or fails
 */
export async function updateTxt(
  peer: Peer,
  zone: string,
  change: TxtChange,
  signal: AbortSignal,
): Promise<void> {
  const id = newId();
  const bytes = await exchangeSigned(peer, encodeUpdate(id, zone, change), signal);
  const reply = readReply(bytes, id, zone);
  if (!reply) throw peerError(peer, 'unavailable', 'its answer is damaged, or to another message');
  if (reply.rcode !== 'NOERROR') throw refusal(peer, reply.rcode, zone, change.name);
}

const OPCODE_UPDATE = 5;
const TYPES = { SOA: 6, TXT: 16 };
const CLASSES = { IN: 1, NONE: 254 };

/** Section 2: the zone takes the place of a question's name, the changes that of the authorities. */
function encodeUpdate(id: number, zone: string, { do: act, name, value, ttl }: TxtChange): Buffer {
  const header = uint16(id, OPCODE_UPDATE << 11, 1, 0, 1, 0);
  const text = Buffer.from(value, 'latin1');
  const data = Buffer.concat([Buffer.from([text.length]), text]);
  // Sections 2.5.1 and 2.5.4: a record to be deleted has class NONE and the time to live 0.
  const [klass, life] = act === 'add' ? [CLASSES.IN, ttl] : [CLASSES.NONE, 0];
  return Buffer.concat([
    header,
    encodeName(zone),
    uint16(TYPES.SOA, CLASSES.IN),
    encodeName(name),
    uint16(TYPES.TXT, klass, life >>> 16, life & 0xffff, data.length),
    data,
  ]);
}

/** Section 3.8: the answer may repeat the zone. */
function readReply(bytes: Buffer, id: number, zone: string): DnsMessage | undefined {
  try {
    const reply = decodeMessage(bytes);
    const same = reply.questions.every(({ name }) => name === zone);
    return reply.response && reply.id === id && reply.opcode === 'UPDATE' && same ? reply : undefined;
  } catch {
    return undefined;
  }
}

function refusal(peer: Peer, rcode: string, zone: string, name: string): IssuanceError {
  const say = (reason: string) => peerError(peer, 'misconfigured', `${rcode} for ${name}: ${reason}`);
  switch (rcode) {
    case 'REFUSED':
      return say(
        peer.key ? 'the key may not update this name' : 'it takes no updates without a TSIG key from here',
      );
    case 'NOTAUTH':
      return say(`it is not authoritative for the zone ${zone}, or does not take the key for it`);
    case 'NOTZONE':
      return say(`the name does not lie in the zone ${zone}`);
    case 'NOTIMP':
      return say('it takes no updates');
    case 'FORMERR':
      return say('it cannot read the update');
    case 'SERVFAIL':
      return peerError(
        peer,
        'unavailable',
        `SERVFAIL for ${name}: the server has failed; its own log says why`,
      );
    default:
      return say('it does not make the update');
  }
}
