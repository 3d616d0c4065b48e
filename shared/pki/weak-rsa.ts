// RSA keys whose private part can be computed.

const primes = Array.from({ length: 750 }, (_, at) => at + 2).filter(isPrime);

function isPrime(number: number): boolean {
  for (let by = 2; by * by <= number; by++) if (number % by === 0) return false;
  return true;
}

/** The powers of 65537 modulo each of the odd primes up to 167. */
const infineonPowers = primes
  .filter(prime => prime > 2 && prime <= 167)
  .map(prime => {
    const powers = new Set<number>();
    for (let power = 1; !powers.has(power); power = (power * 65537) % prime) powers.add(power);
    return { prime, powers };
  });

/** Why an RSA key's modulus can be factored, in a few words. */
export function findWeakness(n: bigint): string | undefined {
  const residues = residuesOf(n);
  const factor = primes.find(prime => residues.get(prime) === 0);
  if (factor !== undefined) return `${factor} divides its modulus`;
  // Nemec and others: The Return of Coppersmith's Attack (2017), section 4.1: primes of this library are such
  // powers modulo a product of small primes, and so is what two of them make.
  if (infineonPowers.every(({ prime, powers }) => powers.has(residues.get(prime) ?? 0)))
    return 'it was made by the faulty library of CVE-2017-15361 (ROCA)';
  return areCloseFactors(n) ? 'its two primes are too close to each other (CVE-2022-26320)' : undefined;
}

/** Modulo each prime. A division of a long number costs much, and the product of five primes is exact. */
function residuesOf(n: bigint): Map<number, number> {
  const residues = new Map<number, number>();
  for (let at = 0; at < primes.length; at += 5) {
    const five = primes.slice(at, at + 5);
    const rest = Number(n % BigInt(five.reduce((product, prime) => product * prime)));
    for (const prime of five) residues.set(prime, rest % prime);
  }
  return residues;
}

const FERMAT_ROUNDS = 100;
/** Modulo each of these few numbers are squares. */
const sieves = [64, 63, 65, 11, 17, 19, 23, 31].map(modulus => ({
  modulus,
  squares: new Set(Array.from({ length: modulus }, (_, root) => (root * root) % modulus)),
}));
const sieveProduct = sieves.reduce((product, { modulus }) => product * BigInt(modulus), 1n);

/** Fermat's method: n is a² - b², where a is half way between its factors: close ones are found soon. */
function areCloseFactors(n: bigint): boolean {
  const root = squareRoot(n);
  const first = root * root === n ? root : root + 1n;
  const [firstRest, rest] = [Number(first % sieveProduct), Number(n % sieveProduct)];
  for (let round = 0; round < FERMAT_ROUNDS; round++) {
    const maybe = sieves.every(({ modulus, squares }) => {
      const a = (firstRest + round) % modulus;
      return squares.has((a * a + modulus - (rest % modulus)) % modulus);
    });
    if (maybe && isSquare((first + BigInt(round)) ** 2n - n)) return true;
  }
  return false;
}

const isSquare = (number: bigint) => squareRoot(number) ** 2n === number;

/** The greatest integer whose square is not above `n`: Newton's method, twice the digits with each step. */
function squareRoot(n: bigint): bigint {
  if (n < 4n) return n === 0n ? 0n : 1n;
  const half = (n.toString(2).length - 1) >> 1;
  let [root, bits] = [1n, 0];
  for (let step = half.toString(2).length - 1; step >= 0; step--) {
    const before = bits;
    bits = half >> step;
    root = (root << BigInt(bits - before - 1)) + (n >> BigInt(2 * half - before - bits + 1)) / root;
  }
  return root * root > n ? root - 1n : root;
}
