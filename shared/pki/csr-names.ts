import * as asn1js from 'asn1js';
import type { RelativeDistinguishedNames } from 'pkijs';
import { addressFromBytes, canonicalAddress } from '../base/address.ts';
import { IssuanceError } from '../base/errors.ts';
import type { RequestedExtensions } from './csr-extensions.ts';
import { parseDnsName, quoteName } from './dns-name.ts';
import type { Identifier } from './identifier.ts';

const commonName = '2.5.4.3';
const subjectAltName = '2.5.29.17';
const mostNames = 100;

/** The tags of GeneralName (RFC 5280 section 4.2.1.6) in words; 2 and 7 are the ones that are taken. */
const kinds = ['other', 'e-mail', 'DNS', 'X.400', 'directory', 'EDI party', 'URI', 'IP', 'registered ID'];

/** The names that a CSR is for, checked one by one: the CN first, then the SANs, without duplicates. Throws `badCsr`. */
export function collectIdentifiers(
  subject: RelativeDistinguishedNames,
  extensions: RequestedExtensions,
): Identifier[] {
  const alternatives = readAlternativeNames(extensions.get(subjectAltName));
  const common = readCommonName(subject, alternatives);
  const distinct = new Map([...common, ...alternatives].map(name => [keyOf(name), name]));
  if (distinct.size === 0) refuse('the CSR names no host');
  if (distinct.size > mostNames) refuse(`the CSR has ${distinct.size} names; at most ${mostNames} are taken`);
  return [...distinct.values()];
}

function readAlternativeNames(extension: asn1js.BaseBlock | undefined): Identifier[] {
  if (!extension) return [];
  if (!(extension instanceof asn1js.Sequence)) refuse('the subject alternative names are malformed');
  return extension.valueBlock.value.map(readAlternativeName);
}

function readAlternativeName({ idBlock, valueBlock }: asn1js.BaseBlock): Identifier {
  const kind = idBlock.tagClass === 3 ? idBlock.tagNumber : -1;
  if (kind !== 2 && kind !== 7)
    refuse(`names of kind ${kinds[kind] ?? 'unknown'} are not accepted, only DNS and IP`);
  if (idBlock.isConstructed || !('valueHexView' in valueBlock))
    refuse('a subject alternative name is malformed');
  const bytes = Buffer.from(valueBlock.valueHexView as Uint8Array);
  if (kind === 2) return { type: 'dns', value: parseDnsName(bytes.toString()) };
  const value = addressFromBytes(bytes);
  if (value === undefined) refuse('an IP name does not hold an IPv4 or an IPv6 address');
  return { type: 'ip', value };
}

/** None or one name: a CN that is meant for people ("My server") is none. */
function readCommonName(subject: RelativeDistinguishedNames, alternatives: Identifier[]): Identifier[] {
  const texts = subject.typesAndValues
    .filter(({ type }) => type === commonName)
    .map(({ value }) => textOf(value));
  const known = new Set(alternatives.map(keyOf));
  const names = texts.map(readHost);
  // Of several CNs some readers take the first and some the last, so each must be a name in any case.
  const hidden = texts.length > 1 ? names.findIndex(name => !name || !known.has(keyOf(name))) : -1;
  if (hidden >= 0) refuse(`of several common names, ${quoteName(texts[hidden] ?? '')} is not among the SANs`);
  const name = names.at(-1);
  if (name?.type === 'ip' && !known.has(keyOf(name)))
    refuse(`the common name ${name.value} is not among the IP SANs`);
  return name ? [name] : [];
}

function readHost(text: string): Identifier | undefined {
  if (text === '') refuse('the common name is empty');
  const address = canonicalAddress(text);
  if (address) return { type: 'ip', value: address };
  // With a dot and no space it is meant as a host name, and then its faults are told rather than passed over.
  const isMeantAsHost = text.includes('.') && !/\s/.test(text);
  if (!isMeantAsHost && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(text)) return undefined;
  return { type: 'dns', value: parseDnsName(text) };
}

function textOf(value: asn1js.BaseBlock): string {
  if (!(value instanceof asn1js.BaseStringBlock)) refuse('the common name is not text');
  return value.getValue();
}

const keyOf = ({ type, value }: Identifier) => `${type}:${value}`;

function refuse(detail: string): never {
  throw new IssuanceError('badCsr', detail);
}
