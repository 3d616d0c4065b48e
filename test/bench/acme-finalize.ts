import { setTimeout as delay } from 'node:timers/promises';
import { type AcmeSession, openAcmeSession } from './acme-session.ts';
import type { Benchmark, Subject } from './benchmark.ts';
import { runClients } from './clients.ts';
import { fakeGround } from './ground.ts';
import { makeCsrs, type NamedCsr } from './named-csrs.ts';
import { totalCpuSeconds } from './process-figures.ts';
import { openQuarryWay } from './quarry-way.ts';
import { takeSamples } from './samples.ts';
import { median } from './statistics.ts';

const clients = 16;
const rounds = 10;
const each = 48;
/** Certificates of each kind before the first that is measured. */
const before = 96;
const limitMs = 30_000;
const pollMs = 50;

const figures = {
  finalize: 'ms CPU from finalize to certificate',
  sign: 'ms CPU of a POST /sign',
};

/** Both ways lead through the same processes, in turn: over plain HTTP, so that TLS counts for neither. */
const subject: Subject = async function* ({ root }, tell) {
  await using stack = new AsyncDisposableStack();
  const ground = await fakeGround(false)(stack, clients);
  const base = `http://127.0.0.1:${ground.intakePort}/acme`;
  const ini = `${ground.ini}\n[acme]\nurl = ${base}\n`;
  const quarry = await openQuarryWay(stack, { ...ground, ini }, { root });
  using session = await openAcmeSession(`${base}/directory`);
  const csrs = await makeCsrs(2 * (before + rounds * each), 1, ground.keyPem);
  const pids = [...quarry.pids, ground.redis.pid];

  /** The CPU time of each. */
  async function measure(count: number, side: keyof typeof figures): Promise<number> {
    const tasks = await prepare(csrs.splice(0, count), side);
    const start = await totalCpuSeconds(pids);
    await runClients(clients, tasks, limitMs);
    return (((await totalCpuSeconds(pids)) - start) * 1000) / count;
  }

  async function prepare(those: NamedCsr[], side: keyof typeof figures): Promise<(() => Promise<void>)[]> {
    if (side === 'sign') return those.map(csr => () => quarry.sign(csr));
    const tasks: (() => Promise<void>)[] = [];
    for (const csr of those) tasks.push(await orderFor(session, csr));
    return tasks;
  }

  for (const side of ['sign', 'finalize'] as const) await measure(before, side);
  for (let round = 0; round < rounds; round++) {
    const sides = ['finalize', 'sign'] as const;
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      const value = await measure(each, side);
      tell(`${side}: ${value.toFixed(1)} ms CPU`);
      yield { figure: figures[side], value };
    }
  }
};

/** @returns finalizes the order, and fetches the certificate */
async function orderFor(session: AcmeSession, { names, csr }: NamedCsr): Promise<() => Promise<void>> {
  const { url, order } = await session.newOrder(names[0] ?? '');
  const payload = { csr: Buffer.from(csr.replace(/-----[^-]+-----/g, ''), 'base64').toString('base64url') };
  return async () => {
    let answer = await session.post(order.finalize, payload);
    while (JSON.parse(answer.body).status === 'processing') {
      await delay(pollMs);
      answer = await session.post(url);
    }
    await session.post(JSON.parse(answer.body).certificate);
  };
}

/**
 * The CPU time that a certificate takes from an ACME client's finalize on, in all of Quarry's processes and
 * Redis, beside that of the same CSR as a POST /sign; 16 at once, at a CA that answers at once.
 */
export const benchAcmeFinalize: Benchmark = {
  subject,
  async run(tell) {
    const of = await takeSamples(subject, tell);
    const [finalize, sign] = [median(of(figures.finalize)), median(of(figures.sign))];
    return {
      value: finalize,
      unit: 'ms CPU from finalize to certificate',
      beside: 'the same CSR as a POST /sign, by the same processes',
      besideValue: sign,
      moreMilliseconds: finalize - sign,
      held: { 'CPU, times that of POST /sign': finalize / sign },
      note: `${(finalize - sign).toFixed(2)} ms more than POST /sign`,
    };
  },
};
