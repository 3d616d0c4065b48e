import { after } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { toDns01Record } from '../../shared/solver/dns01-record.ts';
import { openDnsUpdateSolver } from '../../shared/solver/dns01-update.ts';
import { newBindKey, startBind } from '../support/bind.ts';
import { quietLog } from '../support/quiet-log.ts';
import { updateConfig } from '../support/update-config.ts';
import { solverContract } from './solver.contract.ts';

const key = newBindKey('acme');
const hosts = ['', 'a.', 'b.', ...Array.from({ length: 25 }, (_, n) => `n${n}.`)];
const policy = hosts.map(host => `grant acme name _acme-challenge.${host}example.org. TXT`);
const bind = await startBind({ keys: [key], zones: [{ name: 'example.org', policy }] });
after(() => bind[Symbol.asyncDispose]());

const open = () => openDnsUpdateSolver(updateConfig(bind, { key }), { clock: systemClock, log: quietLog });

solverContract(
  'dns01-dnsUpdate',
  {
    challengeType: 'dns-01',
    provable: [
      { type: 'dns', value: 'example.org' },
      { type: 'dns', value: '*.example.org' },
    ],
    unprovable: [
      { type: 'ip', value: '192.0.2.1' },
      { type: 'ip', value: '2001:db8::1' },
    ],
  },
  async () => ({
    solver: open(),
    other: open(),
    async sees(response) {
      const { name, value } = toDns01Record(response);
      return (await bind.dig(name, 'TXT')).includes(`"${value}"`);
    },
    async [Symbol.asyncDispose]() {},
  }),
);
