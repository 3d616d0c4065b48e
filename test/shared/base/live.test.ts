import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keepUnchanged, openLivePart } from '../../../shared/base/live.ts';

test('what is configured as before stays open, and what has changed or is new is opened', () => {
  const opened: string[] = [];
  const open = keepUnchanged(({ name, size }: { name: string; size: number }) => {
    opened.push(`${name} ${size}`);
    return size === 0 ? undefined : { size };
  });
  const one = open([
    { name: 'a', size: 1 },
    { name: 'b', size: 1 },
    { name: 'none', size: 0 },
  ]);
  const two = open([
    { name: 'b', size: 2 },
    { name: 'none', size: 0 },
    { name: 'c', size: 1 },
    { name: 'a', size: 1 },
  ]);
  assert.deepEqual([...two.keys()], ['b', 'c', 'a']);
  assert.equal(two.get('a'), one.get('a'));
  assert.notEqual(two.get('b'), one.get('b'));
  assert.deepEqual(opened, ['a 1', 'b 1', 'none 0', 'b 2', 'c 1']);
  open([{ name: 'b', size: 2 }]);
  open([{ name: 'a', size: 1 }]);
  assert.deepEqual(opened.slice(5), ['a 1'], 'what has left is opened anew when it comes back');
});

test('a part is built of the configuration of the moment, however late what it needs is there', async () => {
  const part = openLivePart<string, string>('one');
  (await part.prepare('two'))();
  const live = await part.begin(config => `built of ${config}`);
  assert.equal(live.current, 'built of two');
  const take = await part.prepare('three');
  assert.equal(live.current, 'built of two', 'it is prepared, and not taken over');
  take();
  assert.equal(live.current, 'built of three');
});

test('a configuration that is taken over while the first part is built is the one that it is built of', async () => {
  const part = openLivePart<string, string>('one');
  const [first, asked] = [Promise.withResolvers<void>(), [] as string[]];
  const beginning = part.begin(async config => {
    asked.push(config);
    if (config === 'one') await first.promise;
    return config;
  });
  const take = await part.prepare('two');
  take();
  first.resolve();
  assert.equal((await beginning).current, 'two');
  assert.deepEqual(asked, ['one', 'two']);
});

test('a configuration that was prepared before the first part was there reaches it all the same', async () => {
  const part = openLivePart<string, string>('one');
  const take = await part.prepare('two');
  const taken = Promise.withResolvers<string>();
  const live = await part.begin(
    config => config,
    next => taken.resolve(next),
  );
  assert.equal(live.current, 'one');
  take();
  assert.equal(await taken.promise, 'two');
  assert.equal(live.current, 'two');
});

test('a configuration that a part cannot be built of changes nothing', async () => {
  const part = openLivePart<string, string>('one');
  const live = await part.begin(config => {
    if (config === 'bad') throw new Error('it is bad');
    return config;
  });
  await assert.rejects(part.prepare('bad'), /it is bad/);
  assert.equal(live.current, 'one');
});
