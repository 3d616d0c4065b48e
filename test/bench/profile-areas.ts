// To which area of the product a sample of V8's profiler belongs.

/** As the Chrome DevTools Protocol has it. */
export type CpuProfile = {
  nodes: { id: number; callFrame: Frame; children?: number[] }[];
  /** The node of each sample, and the microseconds since the one before. */
  samples: number[];
  timeDeltas: number[];
};

type Frame = { functionName: string; url: string };

/** What the profiler says in place of a function. */
const pseudo: Record<string, string> = {
  '(garbage collector)': 'garbage collection',
  '(program)': 'outside JavaScript',
};

/** Where the functions of an area are; the first frame from the top of the stack that matches decides. */
const places: [RegExp, string][] = [
  [/node:internal\/(abort_controller|event_target)/, 'AbortSignal and events'],
  [/node_modules\/(bullmq|msgpackr|cron-parser|luxon)\//, 'BullMQ'],
  [/node_modules\/(pino|sonic-boom|thread-stream|safe-stable-stringify|quick-format-unescaped)/, 'log'],
  [/node_modules\/(koa|@koa|cookies|accepts|content-type|type-is|path-to-regexp)|services\/intake\//, 'HTTP'],
  [/services\/responder\/http01/, 'HTTP'],
  [/node_modules\/(axios|follow-redirects)\//, 'HTTP'],
  [/shared\/acme\/((ca-)?connection|(proxied-)?exchange|read-answer|transport|nonce-pool)/, 'HTTP'],
  [/node_modules\/acme-client|shared\/acme\/(client|acme-api|account)/, 'JWS'],
  [/shared\/pki\/(csr|dns-name|identifier|parse-identifier|ip-address)|shared\/base\/identifier/, 'CSR'],
  [/shared\/pki\/(acme-)?certificate/, 'X509'],
  [/shared\/admission\//, 'admission'],
  [/shared\/storage\/|shared\/renewal\//, 'storage and renewal'],
  [/shared\/(order|limits|solver|ca|acme)\/|services\/worker\//, 'order engine and limits'],
  [/shared\/(queue|issue|base\/redis)/, 'our Redis commands'],
];

/** Where nothing of the above is in the whole stack. */
const last: [RegExp, string][] = [
  [/node_modules\/(ioredis|@ioredis|redis-parser|denque|standard-as-callback)/, 'our Redis commands'],
  [/node_modules\/(pkijs|asn1js|pv|@peculiar)|shared\/pki\//, 'X509'],
  [/node:(_?https?|_tls_wrap|internal\/(tls|http))/, 'HTTP'],
];

/** Those that others use too are told apart by who does. */
const shared = /node_modules\/(ioredis|@ioredis|redis-parser|denque|standard-as-callback)/;

/** @param stack the function that ran, then its callers */
export function areaOf(stack: readonly Frame[]): string {
  const [top = { functionName: '', url: '' }] = stack;
  const said = top.url === '' && pseudo[top.functionName];
  if (said) return said;
  if (stack.some(({ url }) => shared.test(url)))
    return stack.some(({ url }) => /node_modules\/bullmq/.test(url)) ? 'BullMQ' : 'our Redis commands';
  return findPlace(places, stack) ?? findPlace(last, stack) ?? 'rest';
}

function findPlace(rules: [RegExp, string][], stack: readonly Frame[]): string | undefined {
  for (const { url } of stack) {
    const rule = rules.find(([place]) => place.test(url));
    if (rule) return rule[1];
  }
  return undefined;
}

/** Microseconds of each area, without those in which the process was idle. */
export function groupByArea({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const byId = new Map(nodes.map(node => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map(child => [child, id])));
  const stackOf = (id: number | undefined): Frame[] => {
    const node = id === undefined ? undefined : byId.get(id);
    return node ? [node.callFrame, ...stackOf(parents.get(node.id))] : [];
  };
  const areas = new Map(nodes.map(({ id }) => [id, areaOf(stackOf(id))]));
  const idle = new Set(
    nodes.filter(({ callFrame }) => callFrame.functionName === '(idle)').map(({ id }) => id),
  );
  const times = new Map<string, number>();
  samples.forEach((id, index) => {
    const area = areas.get(id);
    if (area === undefined || idle.has(id)) return;
    times.set(area, (times.get(area) ?? 0) + Math.max(timeDeltas[index] ?? 0, 0));
  });
  return times;
}

/** The same shares of another sum. */
export function scaleTo(total: number, times: ReadonlyMap<string, number>): Map<string, number> {
  const sum = [...times.values()].reduce((all, time) => all + time, 0);
  return new Map([...times].map(([area, time]) => [area, (time * total) / sum]));
}
