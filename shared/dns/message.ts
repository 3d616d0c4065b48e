import { type Answer, decode, encode, RECURSION_DESIRED } from 'dns-packet';
import { toName } from '../base/identifier.ts';

// DNS messages (RFC 1035 section 4), as far as Quarry asks and reads them. Messages are hostile input: each
// is decoded to these plain values or refused.

export type QueryType = 'A' | 'AAAA' | 'CNAME' | 'NS' | 'SOA' | 'TXT';

/** Names are as `toName` writes them. Records of other types are ignored. */
export type DnsRecord =
  | { type: 'A' | 'AAAA'; name: string; address: string }
  | { type: 'CNAME' | 'NS'; name: string; target: string }
  | { type: 'SOA'; name: string; primary: string }
  /** The strings of the record are joined; each character is a byte. */
  | { type: 'TXT'; name: string; value: string };

export type DnsMessage = {
  id: number;
  response: boolean;
  /** `QUERY`, `UPDATE`, … */
  opcode: string;
  /** `NOERROR`, `REFUSED`, … */
  rcode: string;
  authoritative: boolean;
  truncated: boolean;
  /** The answer to an update has the zone here. */
  questions: { name: string; type: string; class: string }[];
  answers: DnsRecord[];
  authorities: DnsRecord[];
};

/** Bytes that pass through most networks unfragmented (DNS flag day 2020). */
const UDP_PAYLOAD = 1_232;

export function encodeQuery(id: number, name: string, type: QueryType, recursive: boolean): Buffer {
  return encode({
    type: 'query',
    id,
    flags: recursive ? RECURSION_DESIRED : 0,
    questions: [{ name: name === '' ? '.' : name, type, class: 'IN' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: UDP_PAYLOAD,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
      } as Answer,
    ],
  });
}

/** @throws Error when the bytes are not a DNS message */
export function decodeMessage(bytes: Buffer): DnsMessage {
  // The types lack these two.
  const packet = decode(bytes) as ReturnType<typeof decode> & { rcode: string; opcode: string };
  // dns-packet accepts a record that is cut off.
  if (decode.bytes > bytes.length) throw new Error('the message is cut off');
  return {
    id: packet.id ?? 0,
    response: packet.flag_qr,
    opcode: packet.opcode,
    rcode: packet.rcode,
    authoritative: packet.flag_aa,
    truncated: packet.flag_tc,
    questions: (packet.questions ?? []).map(({ name, type, class: klass = '' }) => ({
      name: fromPacket(name),
      type,
      class: klass,
    })),
    answers: (packet.answers ?? []).flatMap(toRecord),
    authorities: (packet.authorities ?? []).flatMap(toRecord),
  };
}

function toRecord(answer: Answer): DnsRecord[] {
  const name = fromPacket(answer.name);
  if (answer.type === 'OPT' || answer.class !== 'IN') return [];
  switch (answer.type) {
    case 'A':
    case 'AAAA':
      return [{ type: answer.type, name, address: answer.data }];
    case 'CNAME':
    case 'NS':
      return [{ type: answer.type, name, target: fromPacket(answer.data) }];
    case 'SOA':
      return [{ type: 'SOA', name, primary: fromPacket(answer.data.mname) }];
    case 'TXT':
      return [{ type: 'TXT', name, value: Buffer.concat(answer.data as Buffer[]).toString('latin1') }];
    default:
      return [];
  }
}

const fromPacket = (name: string) => (name === '.' ? '' : toName(name));
