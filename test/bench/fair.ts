import assert from 'node:assert/strict';
import { csrFor, startTarpitGround, type TarpitGround, workerSlots } from '../support/tarpit.ts';
import type { Figures, Tell } from './benchmark.ts';
import { median } from './statistics.ts';

const noisyPosts = 500;
const quietPosts = 7;
const slots = 4;

/** What the two blocks say, by what that shows. */
const cases = {
  'with slots': { noisy: `slots = ${slots}` },
  'by turns alone': {},
  'with slots, and shares of one registered domain': {
    noisy: `slots = ${slots}\nshare = 50%`,
    quiet: 'share = 50%',
    sections: '[limits]\norders = 100000/3h\ncertificates-per-domain = 100/7d\n',
  },
};

type Times = { alone: number; beside: number };

/**
 * One auth block posts 500 CSRs whose names lead to a server that never answers: how long another one's post
 * takes then, beside what it takes when it is alone.
 */
export async function benchFair(tell: Tell): Promise<Figures> {
  const found = new Map<string, Times>();
  for (const [name, blocks] of Object.entries(cases)) {
    const times = await measure(blocks);
    found.set(name, times);
    tell(`${name}: ${describe(times)}`);
  }
  const { alone, beside } = found.get('with slots') ?? assert.fail('no such case');
  return {
    value: beside,
    unit: `ms a post beside ${noisyPosts} of another block`,
    beside: 'the same when it is alone',
    besideValue: alone,
    note: [...found].map(([name, times]) => `${name}: ${describe(times)}`).join('; '),
    workerSlots,
  };
}

const describe = ({ alone, beside }: Times) =>
  `${(beside / alone).toFixed(2)} times: ${beside.toFixed(0)} beside ${alone.toFixed(0)} ms`;

async function measure(blocks: Parameters<typeof startTarpitGround>[0]): Promise<Times> {
  await using ground = await startTarpitGround(blocks);
  await timePosts(ground, 'warm-up');
  const alone = await timePosts(ground, 'alone');
  await ground.makeNoise(noisyPosts, slots);
  return { alone, beside: await timePosts(ground, 'beside') };
}

/** @returns the median in milliseconds */
async function timePosts({ fleet }: TarpitGround, label: string): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < quietPosts; n++) {
    const csr = await csrFor(`${label}${n}.quiet.shared.example`);
    const startedAt = performance.now();
    const { status, body } = await fleet.post(csr);
    assert.equal(status, 200, body);
    times.push(performance.now() - startedAt);
  }
  return median(times);
}
