import assert from 'node:assert/strict';
import { checkPrimeSync, generateKeyPairSync, generatePrimeSync } from 'node:crypto';
import { test } from 'node:test';
import { readDer } from '../../../shared/pki/der.ts';
import { judgeKey } from '../../../shared/pki/key.ts';
import { der } from './handmade-csr.ts';
import { seededRandom } from './seeded-random.ts';

const rsaAlgorithm = der(0x30, Buffer.from('06092a864886f70d0101010500', 'hex'));

/** A SubjectPublicKeyInfo that need not be of a key that anybody could use. */
function rsaInfo(modulus: bigint, exponent = 65537n): Buffer {
  return der(0x30, rsaAlgorithm, der(0x03, Buffer.from([0]), der(0x30, integer(modulus), integer(exponent))));
}

function integer(number: bigint): Buffer {
  const hex = number.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return der(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

const judge = (info: Buffer) => judgeKey(readDer(info));
const faultOf = (modulus: bigint, exponent?: bigint) => judge(rsaInfo(modulus, exponent)).fault;

const prime = (bits: number) => generatePrimeSync(bits, { bigint: true });

function nextPrime(from: bigint): bigint {
  let candidate = from | 1n;
  while (!checkPrimeSync(candidate)) candidate += 2n;
  return candidate;
}

test('judgeKey() has nothing against keys that OpenSSL makes', () => {
  const keys = [
    ...[2048, 3072].map(modulusLength => generateKeyPairSync('rsa', { modulusLength })),
    ...['P-256', 'P-384'].map(namedCurve => generateKeyPairSync('ec', { namedCurve })),
  ];
  for (const { publicKey } of keys) {
    assert.deepEqual(judge(publicKey.export({ type: 'spki', format: 'der' })), { unusual: undefined });
  }
});

/** One of that many bits that nothing is known against. */
function goodModulus(bits: number): bigint {
  let modulus = (1n << BigInt(bits - 1)) + 1n;
  while (faultOf(modulus)) modulus += 2n;
  return modulus;
}

const large = goodModulus(2048);

test('judgeKey() counts bits', () => {
  assert.match(faultOf(large >> 1n) ?? '', /has 2047 bits; at least 2048/);
  assert.match(faultOf(1n << 8192n) ?? '', /has 8193 bits; at most 8192/);
  for (const bits of [2048, 2056, 4096]) assert.equal(judge(rsaInfo(goodModulus(bits))).unusual, undefined);
});

for (const [bits, why] of [
  [2049, /has 2049 bits, which is no multiple of 8$/],
  [4104, /has 4104 bits; at most 4096 are taken$/],
  [8192, /has 8192 bits; at most 4096 are taken$/],
] as const) {
  test(`judgeKey() leaves a modulus of ${bits} bits to CAs that take more than the public ones`, () => {
    assert.match(judge(rsaInfo(goodModulus(bits))).unusual ?? '', why);
  });
}

for (const exponent of [3n, 17n, 65535n, 65536n, 2n ** 31n + 11n, 0n]) {
  test(`judgeKey() refuses the exponent ${exponent}`, () => {
    assert.match(faultOf(large, exponent) ?? '', /exponent is not 65537/);
  });
}

test('judgeKey() refuses a negative modulus and a negative exponent', () => {
  const negative = der(0x02, Buffer.alloc(257, 0x80));
  const info = (...numbers: Buffer[]) =>
    der(0x30, rsaAlgorithm, der(0x03, Buffer.from([0]), der(0x30, ...numbers)));
  assert.match(judge(info(negative, integer(65537n))).fault ?? '', /at least 2048/);
  assert.match(judge(info(integer(large), der(0x02, Buffer.from([0x80])))).fault ?? '', /exponent/);
});

// Boulder's list: from 2 to 751.
for (const factor of [2n, 3n, 167n, 173n, 509n, 751n]) {
  test(`judgeKey() refuses a modulus that ${factor} divides`, () => {
    const modulus = large * factor;
    assert.match(faultOf(modulus) ?? '', new RegExp(`RSA key is weak: ${factor} divides its modulus`));
  });
}

test('judgeKey() lets a factor of 757 pass, which is above the list', () => {
  assert.equal(faultOf(large * 757n), undefined);
});

const roca =
  /RSA key is weak: it was made by the faulty library of CVE-2017-15361 \(ROCA\)\. Make a new key$/;

test('judgeKey() finds a key of the ROCA paper’s authors', () => {
  // A positive sample of their detector (crocs-muni/roca, mod03.txt).
  const modulus =
    '9dcd7420e420c270a68060eb8b5aa7457a9f6648f86fafed2775cc1f79ae962f1e63f1b9e51c55f9ea6fdc7332e9b005' +
    '8c9ff2eb1fc89855029cf6aafe21e689feb38ac9ffb12f1ce371bb5d0e9aae64161abce74b4244bf68f1edb4411f756a' +
    '097c8929c14740245ea355f8332d1aa36bb50c7dcb4505da8de02e4e53d38f8df06097da7524df0df93db48eac8cc4af' +
    '2d3a16257eb2b2adca6ba464e5974fa92550d31b1babf161e7692d00b86e3dd886ecab4abfbe1a8f8cc263ff4af55cdb' +
    '45f4249a5193925f5e983d762f0b6800943eb0267b08f42ed311ce1f5c86eacbc8ce4d3cb7a2fee1ef5641423a1cf411' +
    '4e5ecf50034a60a412523af9e6f4aa11';
  assert.match(faultOf(BigInt(`0x${modulus}`)) ?? '', roca);
});

/** As section 2.1 of the paper has it: k·M + (65537^a mod M), M being the product of the first primes. */
function infineonPrime(): bigint {
  let [product, found] = [1n, 0];
  for (let candidate = 2n; found < 126; candidate++) {
    if (!checkPrimeSync(candidate)) continue;
    product *= candidate;
    found++;
  }
  const power = modularPower(65537n, prime(256), product);
  for (let factor = (1n << 1024n) / product - 1n; ; factor--) {
    const candidate = factor * product + power;
    if (checkPrimeSync(candidate)) return candidate;
  }
}

function modularPower(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (const bit of exponent.toString(2)) {
    result = (result * result) % modulus;
    if (bit === '1') result = (result * base) % modulus;
  }
  return result;
}

test('judgeKey() finds a key that is made as the ROCA paper says, and does not take half of one for one', () => {
  const [p, q] = [infineonPrime(), infineonPrime()];
  assert.match(faultOf(p * q) ?? '', roca);
  assert.equal(faultOf(p * prime(1024)), undefined);
});

const close =
  /RSA key is weak: its two primes are too close to each other \(CVE-2022-26320\)\. Make a new key$/;

test('judgeKey() finds primes that follow each other, and the square of one', () => {
  const p = prime(1024);
  assert.match(faultOf(p * nextPrime(p + 2n)) ?? '', close);
  assert.match(faultOf(p * p) ?? '', close);
});

test('judgeKey() finds twin primes, between which there is but one number', () => {
  const between = 0xf7c6c5n << 1000n;
  assert.match(faultOf((between - 1n) * (between + 1n)) ?? '', close);
});

test('judgeKey() finds primes that differ in their lower half, as of the keys of "Fermat Factorization in the Wild"', () => {
  const upper = prime(512) << 512n;
  const random = seededRandom(2023);
  const lower = () => BigInt(Array.from({ length: 150 }, () => random(10)).join(''));
  assert.match(faultOf(nextPrime(upper + lower()) * nextPrime(upper + lower())) ?? '', close);
});

/** How many rounds Fermat's method takes for p·q: from the root, rounded up, to (p+q)/2. */
function rounds(p: bigint, q: bigint): bigint {
  const middle = (p + q) / 2n;
  const half = (q - p) / 2n;
  // middle - ceil(sqrt(middle² - half²)) + 1, by search as the numbers are near.
  let count = 1n;
  while ((middle - count) ** 2n >= middle ** 2n - half ** 2n) count++;
  return count;
}

/** Two primes for which it takes that many. */
function primesFor(wanted: bigint): { p: bigint; q: bigint } {
  for (;;) {
    const p = prime(1024);
    // (q - p)² / 8p is how far the middle is from the root.
    let low = 0n;
    let high = 1n << 560n;
    while (high - low > 1n) {
      const distance = (low + high) / 2n;
      if (distance ** 2n < 8n * p * wanted - 4n * p) low = distance;
      else high = distance;
    }
    const q = nextPrime(p + low);
    if (rounds(p, q) === wanted) return { p, q };
  }
}

test('judgeKey() gives Fermat’s method 100 rounds', () => {
  for (const [wanted, found] of [
    [1n, true],
    [2n, true],
    [99n, true],
    [100n, true],
    [101n, false],
    [200n, false],
  ] as const) {
    const { p, q } = primesFor(wanted);
    const fault = faultOf(p * q);
    if (found) assert.match(fault ?? '', close, `${wanted} rounds`);
    else assert.equal(fault, undefined, `${wanted} rounds`);
  }
});
