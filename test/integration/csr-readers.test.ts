import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { addressFromBytes } from '../../shared/base/identifier.ts';
import { parseCsr } from '../../shared/pki/csr.ts';
import { seededRandom } from '../shared/pki/seeded-random.ts';
import { buildCsrReaders, type CsrReading } from '../support/csr-readers.ts';
import { type MutatedCsr, mutateCsrs } from '../support/mutated-csrs.ts';

// A name that a CA sees and we do not would pass the auth blocks unseen; a CSR that we accept and a CA
// refuses costs an order.

/** `CSR_SEED` draws other faults. */
const seed = Number(process.env.CSR_SEED ?? 11);
const ROUNDS = 600;

type Ours = MutatedCsr & { names: string[] };
type Refused = MutatedCsr & { refusal: string };

function readAll(csrs: MutatedCsr[]): { accepted: Ours[]; refused: Refused[] } {
  const accepted: Ours[] = [];
  const refused: Refused[] = [];
  for (const one of csrs) {
    try {
      const { identifiers } = parseCsr(one.csr);
      accepted.push({ ...one, names: identifiers.map(({ type, value }) => `${type}:${value}`) });
    } catch (error) {
      assert.equal((error as { code: string }).code, 'badCsr', `${error}: ${one.csr.toString('hex')}`);
      refused.push({ ...one, refusal: (error as Error).message });
    }
  }
  return { accepted, refused };
}

const sansOf = ({ dns, ips }: CsrReading) => [
  ...dns.map(name => `dns:${name.toLowerCase()}`),
  ...ips.map(bytes => `ip:${addressFromBytes(bytes)}`),
];

/** How another reader reads differently what we accept, in a few words. */
function findDifference({ names }: Ours, reading: CsrReading): string | undefined {
  if (reading.error) return `refuses it: ${reading.error}`;
  if (reading.others > 0) return 'sees names of other kinds';
  const sans = sansOf(reading);
  const unseen = sans.find(name => !names.includes(name));
  if (unseen) return `sees ${unseen}`;
  const common = reading.commonNames.map(name => `dns:${name.toLowerCase()}`);
  const invented = names.find(name => !sans.includes(name) && !common.includes(name));
  if (invented) return `does not see ${invented}`;
  const meant = common.find(name => /^dns:[\w.-]+\.[\w.-]*[a-z][\w.-]*$/.test(name) && !names.includes(name));
  return meant && `sees the common name ${meant}`;
}

suite(`CSRs with faults, drawn by seed ${seed}`, async () => {
  const built = await buildCsrReaders();
  after(() => built[Symbol.asyncDispose]());
  const all = mutateCsrs(ROUNDS, seededRandom(seed));
  const { accepted, refused } = readAll(all);

  test(`there are at least 5,000, of which we accept some of each kind`, t => {
    t.diagnostic(`seed ${seed}: ${all.length} CSRs, ${accepted.length} accepted`);
    assert.ok(all.length >= 5_000);
    const kinds = [...new Set(all.map(({ what }) => what))];
    for (const kind of kinds) {
      const count = accepted.filter(({ what }) => what === kind).length;
      t.diagnostic(`${kind}: ${count} of ${ROUNDS} accepted`);
      assert.ok(count >= 5, `${count} of ${kind}`);
    }
  });

  for (const name of ['OpenSSL', 'Go']) {
    const reader = built.readers.find(one => one.name === name);
    const skip = !reader && `${name} is not installed`;
    test(`${name} accepts what we accept, and sees the same names`, { skip }, async t => {
      const readings = (await reader?.read(accepted.map(({ csr }) => csr))) ?? [];
      const differences = accepted.flatMap((ours, at) => {
        const difference = findDifference(ours, readings[at] as CsrReading);
        return difference ? [`${ours.what}: ${name} ${difference}: ${ours.csr.toString('hex')}`] : [];
      });
      assert.deepEqual(differences.slice(0, 10), [], `${differences.length} differences`);

      const others = (await reader?.read(refused.map(({ csr }) => csr))) ?? [];
      const stricter = refused.filter((_, at) => !others[at]?.error).map(({ refusal }) => refusal);
      t.diagnostic(`${stricter.length} that we refuse are accepted by ${name}`);
      for (const [reason, count] of countReasons(stricter)) t.diagnostic(`  ${count}: ${reason}`);
    });
  }
});

/** The most frequent ones. */
function countReasons(refusals: string[]): [reason: string, count: number][] {
  const counts = new Map<string, number>();
  for (const refusal of refusals) {
    const reason = refusal.replace(/"[^"]*"/g, '"…"').replace(/\d+/g, 'N');
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts].sort(([, one], [, other]) => other - one).slice(0, 12);
}
