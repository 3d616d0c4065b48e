import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { contentOf, type Der, readDer } from '../../shared/pki/der.ts';
import { alternativeNames, der, extensionAttribute, oid } from '../shared/pki/handmade-csr.ts';

// CSRs with faults, most of them signed after the fault was made, so that nothing but the fault is wrong.

type Below = (below: number) => number;

/** An element of DER that may be changed, and written as DER never is. */
type Element = {
  tag: number;
  content: Buffer;
  /** In place of `content`, where it is made of elements. */
  parts?: Element[];
  /** What comes before the parts: the bits of a BIT STRING that do not count. */
  before?: Buffer;
  length?: 'long' | 'indefinite' | 'one more' | 'one less';
};

const hidden = new Set([0x03, 0x04]); // a BIT STRING and an OCTET STRING may hold elements

function toElement(node: Der): Element {
  const content = Buffer.from(contentOf(node));
  const element: Element = { tag: node.tag, content };
  if (node.tag & 0x20) return { ...element, parts: node.parts.map(toElement) };
  if (!hidden.has(node.tag)) return element;
  const from = node.tag === 0x03 ? 1 : 0;
  try {
    const inner = readDer(content.subarray(from));
    if (inner.end !== content.length - from || !(inner.tag & 0x20)) return element;
    return { ...element, parts: [toElement(inner)], before: content.subarray(0, from) };
  } catch {
    return element;
  }
}

function encode({ tag, content, parts, before = Buffer.alloc(0), length }: Element): Buffer {
  const body = parts ? Buffer.concat([before, ...parts.map(encode)]) : content;
  const head = (...bytes: number[]) => Buffer.concat([Buffer.from([tag, ...bytes]), body]);
  const size = body.length;
  switch (length) {
    case 'long':
      return head(0x84, 0, 0, size >> 8, size & 0xff);
    case 'indefinite':
      return Buffer.concat([head(0x80), Buffer.from([0, 0])]);
    case 'one more':
    case 'one less': {
      const whole = der(tag, body);
      const at = whole.length - size - 1;
      whole[at] = ((whole[at] ?? 0) + (length === 'one more' ? 1 : 255)) & 0xff;
      return whole;
    }
    case undefined:
      return der(tag, body);
  }
}

/** The third part of what is signed: a fault in it alone says little, as the signature is by another key. */
const KEY_AT = 2;

/** All that are inside, with the list that each stands in. */
function listElements(element: Element): { element: Element; among: Element[]; at: number }[] {
  const among = element.parts ?? [];
  return among.flatMap((part, at) => [{ element: part, among, at }, ...listElements(part)]);
}

const tags = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x12, 0x13, 0x14, 0x16, 0x1a, 0x1c, 0x1e, 0x30, 0x31, 0x80, 0x81,
  0x82, 0x86, 0x87, 0xa0, 0xa2,
];
const oids = [...Object.values(oid), '551d13', '551d0f', '2a864886f70d010907', '69ffffffff7f', '55040a'].map(
  one => (typeof one === 'string' ? Buffer.from(one, 'hex') : one.subarray(2)),
);
const texts = [
  'evil.example',
  'a.example',
  'b.example',
  'My server',
  '*.a.example',
  'a@b',
  '',
  '192.0.2.1',
  'é.example',
];
const leaf = (tag: number, ...content: (number | Buffer)[]): Element => ({
  tag,
  content: Buffer.concat(content.map(one => (typeof one === 'number' ? Buffer.from([one]) : one))),
});
const strangers: (() => Element)[] = [
  () => leaf(0x05),
  () => leaf(0x01, 0),
  () => leaf(0x01, 0xff),
  () => leaf(0x02, 0),
  () => leaf(0x00),
  () => leaf(0x82, Buffer.from('evil.example')),
  () => leaf(0x87, Buffer.from([192, 0, 2, 66])),
  () => leaf(0x81, Buffer.from('root@evil.example')),
  () => toElement(readDer(alternativeNames('evil.example'))),
  () => toElement(readDer(extensionAttribute(oid.extensionRequest, alternativeNames('evil.example')))),
  () => toElement(readDer(extensionAttribute(oid.microsoftExtensions, alternativeNames('evil.example')))),
  () => toElement(readDer(extensionAttribute(oid.extensionRequest))),
  () => ({ tag: 0x30, content: Buffer.alloc(0), parts: [] }),
  () => ({ tag: 0x31, content: Buffer.alloc(0), parts: [] }),
];

const copy = (element: Element): Element => structuredClone(element);
const pick = <T>(random: Below, all: readonly T[]): T => all[random(all.length)] as T;

/** Does one thing to a random element inside, which is seldom one of the key. */
function change(root: Element, random: Below): void {
  const key = root.parts?.[KEY_AT];
  const apart = new Set(key && random(10) > 0 ? listElements(key).map(({ element }) => element) : []);
  const all = listElements(root).filter(({ element }) => !apart.has(element));
  if (all.length === 0) return;
  const { element, among, at } = pick(random, all);
  const { content } = element;
  switch (random(16)) {
    case 0:
      among.splice(at, 1);
      return;
    case 1:
      among.splice(at, 0, copy(element));
      return;
    case 2:
      among.splice(at, 1, ...among.splice((at + 1) % among.length, 1), element);
      return;
    case 3:
    case 4:
      among.splice(at + random(2), 0, pick(random, strangers)());
      return;
    case 5:
      among.splice(random(among.length + 1), 0, copy(pick(random, all).element));
      return;
    case 6:
      element.tag = pick(random, tags);
      return;
    case 7:
      element.tag ^= 0x20;
      return;
    case 8:
      element.length = pick(random, ['long', 'indefinite', 'one more', 'one less'] as const);
      return;
    case 9:
      if (element.tag === 0x06) element.content = pick(random, oids);
      else among[at] = copy(pick(random, all).element);
      return;
    case 10:
      delete element.parts;
      element.content = Buffer.concat([content, Buffer.from([random(256)])]);
      return;
    case 11:
      delete element.parts;
      element.content = content.subarray(0, -1);
      return;
    case 12:
      delete element.parts;
      element.content = content.length > 2 ? Buffer.from(pick(random, texts)) : Buffer.from([random(256)]);
      return;
    case 13:
      delete element.parts;
      element.content = Buffer.concat([Buffer.from([pick(random, [0, 1, 0xff, 0x80])]), content]);
      return;
    default:
      delete element.parts;
      element.content = Buffer.from(content);
      if (content.length > 0) element.content[random(content.length)] = random(256);
  }
}

type Signer = { key: KeyObject; algorithm: Buffer; sign(info: Buffer): Buffer };

function ecSigner(namedCurve: string, hash: string, algorithm: string): Signer & { info: Buffer } {
  const { privateKey: key, publicKey } = generateKeyPairSync('ec', { namedCurve });
  return {
    key,
    info: publicKey.export({ type: 'spki', format: 'der' }),
    algorithm: der(0x30, der(0x06, Buffer.from(algorithm, 'hex'))),
    sign: info => sign(hash, info, key),
  };
}

const rsaPair = generateKeyPairSync('rsa', { modulusLength: 2048 });
const rsaInfo = rsaPair.publicKey.export({ type: 'spki', format: 'der' });
const rsa = {
  key: rsaPair.privateKey,
  info: rsaInfo,
  algorithm: der(0x30, Buffer.from('06092a864886f70d01010b0500', 'hex')),
  sign: (info: Buffer) => sign('sha256', info, rsaPair.privateKey),
};
const pss = {
  ...rsa,
  // SHA-256, MGF1 with SHA-256, a salt of 32 bytes.
  algorithm: Buffer.from(
    '304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d0609' +
      '6086480165030402010500a203020120',
    'hex',
  ),
  sign: (info: Buffer) =>
    sign('sha256', info, {
      key: rsaPair.privateKey,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: 32,
    }),
};
const p256 = ecSigner('P-256', 'sha256', '2a8648ce3d040302');
const p384 = ecSigner('P-384', 'sha384', '2a8648ce3d040303');
const p521 = ecSigner('P-521', 'sha512', '2a8648ce3d040304');

const attributeOf = (type: string, value: Buffer) => der(0x30, der(0x06, Buffer.from(type, 'hex')), value);
const rdn = (type: string, value: Buffer) => der(0x31, attributeOf(type, value));
const utf8 = (text: string) => der(0x0c, Buffer.from(text));
const bmp = (text: string) => der(0x1e, Buffer.from(text, 'utf16le').swap16());
const printable = (text: string) => der(0x13, Buffer.from(text));
const cn = '550403';
const asking = (...names: string[]) => extensionAttribute(oid.extensionRequest, alternativeNames(...names));
const password = der(0x30, der(0x06, Buffer.from('2a864886f70d010907', 'hex')), der(0x31, printable('x')));
const addresses = der(
  0x30,
  oid.subjectAltName,
  der(0x01, Buffer.from([0xff])),
  der(
    0x04,
    der(
      0x30,
      der(0x87, Buffer.from([192, 0, 2, 1])),
      der(0x87, Buffer.alloc(16, 0x20)),
      der(0x82, Buffer.from('a.example')),
    ),
  ),
);
const constraints = der(0x30, der(0x06, Buffer.from('551d13', 'hex')), der(0x04, der(0x30)));
const usage = der(
  0x30,
  der(0x06, Buffer.from('551d0f', 'hex')),
  der(0x04, der(0x03, Buffer.from('05a0', 'hex'))),
);
const full = extensionAttribute(oid.extensionRequest, constraints, usage, alternativeNames('a.example'));
const fullMicrosoft = extensionAttribute(
  oid.microsoftExtensions,
  constraints,
  usage,
  alternativeNames('a.example'),
);
const people = [
  rdn('550406', printable('JP')),
  rdn('55040a', utf8('Sécurité')),
  rdn('55040b', der(0x14, Buffer.from('T.61'))),
  rdn('0992268993f22c640119', der(0x16, Buffer.from('example'))),
  rdn('550405', der(0x12, Buffer.from('42'))),
];

type Base = { what: string; signer: Signer & { info: Buffer }; subject: Buffer[]; attributes: Buffer[] };

const bases: Base[] = [
  {
    what: 'one name',
    signer: p256,
    subject: [rdn(cn, utf8('a.example'))],
    attributes: [asking('a.example')],
  },
  {
    what: 'several names',
    signer: p256,
    subject: [],
    attributes: [password, asking('a.example', 'b.example', '*.c.example')],
  },
  {
    what: 'both attributes',
    signer: p256,
    subject: [rdn(cn, utf8('a.example'))],
    attributes: [full, fullMicrosoft],
  },
  {
    what: 'addresses',
    signer: p256,
    subject: [],
    attributes: [extensionAttribute(oid.extensionRequest, addresses)],
  },
  { what: 'a CN alone', signer: p256, subject: [rdn(cn, bmp('a.example'))], attributes: [] },
  {
    what: 'a long subject',
    signer: p384,
    subject: [...people, rdn(cn, bmp('My server'))],
    attributes: [asking('a.example')],
  },
  {
    what: 'two CNs',
    signer: p256,
    subject: [rdn(cn, printable('b.example')), rdn(cn, utf8('a.example'))],
    attributes: [asking('a.example', 'b.example')],
  },
  { what: 'an RSA key', signer: rsa, subject: [rdn(cn, utf8('a.example'))], attributes: [full] },
  { what: 'a PSS signature', signer: pss, subject: [], attributes: [asking('a.example')] },
  {
    what: 'a P-521 key',
    signer: p521,
    subject: [rdn(cn, utf8('a.example'))],
    attributes: [asking('a.example', 'b.example')],
  },
];

export type MutatedCsr = { what: string; csr: Buffer };

/** Faults in each of the bases; the same for the same numbers, but for keys and signatures. */
export function mutateCsrs(rounds: number, random: Below): MutatedCsr[] {
  return bases.flatMap(({ what, signer, subject, attributes }) => {
    const info = der(
      0x30,
      der(0x02, Buffer.from([0])),
      der(0x30, ...subject),
      signer.info,
      der(0xa0, ...attributes),
    );
    return Array.from({ length: rounds }, () => ({ what, csr: mutate(info, signer, random) }));
  });
}

function mutate(info: Buffer, signer: Base['signer'], random: Below): Buffer {
  const way = random(20);
  const changed =
    way < 14
      ? changeElements(info, random(3) === 0 ? 2 : 1, random)
      : way < 18
        ? changeBytes(info, signer.info, random)
        : info;
  const signature = Buffer.concat([Buffer.from([0]), signer.sign(changed)]);
  const csr = der(0x30, changed, signer.algorithm, der(0x03, signature));
  // What is around the signed part has faults, too.
  return way < 18 ? csr : changeElements(csr, 1, random, 1);
}

function changeElements(bytes: Buffer, times: number, random: Below, from = 0): Buffer {
  const root = toElement(readDer(bytes));
  const [signed, ...others] = root.parts ?? [];
  // Of a whole CSR the signed part is left as it is.
  const target = from === 0 ? root : { ...root, parts: others };
  for (let time = 0; time < times; time++) change(target, random);
  return encode(from === 0 || !signed ? target : { ...target, parts: [signed, ...(target.parts ?? [])] });
}

/** Seldom those of the key. */
function changeBytes(bytes: Buffer, key: Buffer, random: Below): Buffer {
  const changed = Buffer.from(bytes);
  const keyFrom = bytes.indexOf(key);
  for (let changes = 1 + random(3); changes > 0; changes--) {
    const outside = random(bytes.length - key.length);
    const at =
      random(10) === 0 ? keyFrom + random(key.length) : outside + (outside < keyFrom ? 0 : key.length);
    const old = changed[at] ?? 0;
    changed[at] = pick(random, [
      old ^ (1 << random(8)),
      random(256),
      changed[(at + 1) % changed.length] ?? 0,
    ]);
  }
  return changed;
}
