import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { assertChain } from '../support/chain.ts';
import { setRenewalInfo, windowFromNow } from '../support/set-renewal-info.ts';
import { type Cell, type Client, ClientFailure, type Driver, type Issued } from './client.ts';
import type { ClientServer } from './server.ts';

/** A client at work, with an account of its own. */
export type Trial = {
  client: Client;
  server: ClientServer;
  driver: Driver;
  /** A name that it may have, and no other client has. */
  name(label: string): string;
  /** The same client, once more, without a key. */
  openUnbound(): Promise<Trial>;
};

const minute = 60_000;
const hour = 60 * minute;

/** How long the CA takes that needs its time. */
const slowMs = 50_000;

/** An issue that is asserted to be what the client was promised. */
export async function issue({ driver, server }: Trial, names: string[]): Promise<Issued> {
  return await check(server, names, await driver.issue(names));
}

async function check({ acme }: ClientServer, names: string[], issued: Issued): Promise<Issued> {
  const { chain, keyPem } = issued;
  // Clients write what they were sent in their own way.
  const body = chain.trim().replaceAll(/(?<=-----END CERTIFICATE-----)\n+/g, '\n\n');
  assertChain(`${body}\n`, { names, keyPem, rootPem: await acme.fleet.pebble.rootPem() });
  return issued;
}

function can<Method extends keyof Driver>(driver: Driver, method: Method): NonNullable<Driver[Method]> {
  const act = driver[method];
  assert.ok(act, `the client has ${method}, or says that it lacks it`);
  return act;
}

async function renew(trial: Trial, label: string): Promise<Issued> {
  const names = [trial.name(label)];
  const first = await issue(trial, names);
  const second = await check(trial.server, names, await can(trial.driver, 'renew')(names));
  assert.notEqual(second.chain, first.chain, 'it is another certificate');
  return first;
}

/** The CA says that it is going to revoke, and the client hears of it by itself. */
async function renewAsTold(trial: Trial, label: string): Promise<Issued> {
  const names = [trial.name(label)];
  const first = await issue(trial, names);
  const window = windowFromNow(-hour, -minute, 'https://ca.example/incident');
  await setRenewalInfo(trial.server.acme.fleet.pebble, first.chain, window);
  const second = await check(trial.server, names, await can(trial.driver, 'renewWhenTold')(names));
  assert.notEqual(second.chain, first.chain, 'it is another certificate');
  return first;
}

/** RFC 9773, section 4.1, of the first certificate. */
function renewalIdOf(chain: string): string {
  const { serialNumber, raw } = new X509Certificate(chain);
  const serial = Buffer.from(serialNumber.length % 2 ? `0${serialNumber}` : serialNumber, 'hex');
  const padded = (serial[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), serial]) : serial;
  // The extension 2.5.29.35, with its key identifier of 20 octets.
  const at = raw.indexOf(Buffer.from('0603551d23041830168014', 'hex'));
  assert.ok(at > 0, 'the certificate says which key signed it');
  return `${raw.subarray(at + 11, at + 31).toString('base64url')}.${padded.toString('base64url')}`;
}

function assertReplaced({ server }: Trial, { chain }: Issued): void {
  const id = renewalIdOf(chain);
  assert.ok(
    server.acme.fleet.ca.requests().some(({ kind, replaces }) => kind === 'newOrder' && replaces === id),
    'the CA was told what the new certificate replaces',
  );
}

/** What each cell does; it throws where the client does not get there. */
export const trials: Record<Exclude<Cell, 'a killed intake'>, (trial: Trial) => Promise<unknown>> = {
  'one name': trial => issue(trial, [trial.name('www')]),
  async 'external account binding'(trial) {
    assert.match(trial.name('eab'), /bound/, 'only the key admits to the name');
    await issue(trial, [trial.name('eab')]);
  },
  'several names': trial => issue(trial, ['a', 'b', 'c'].map(trial.name)),
  wildcard: trial => issue(trial, [`*.${trial.name('wild')}`]),
  address: async trial => issue(trial.client.binds ? await trial.openUnbound() : trial, ['127.0.0.1']),
  renewal: trial => renew(trial, 'renewal'),
  async replaces(trial) {
    const { replacesWhenTold } = trial.client;
    assertReplaced(trial, await (replacesWhenTold ? renewAsTold : renew)(trial, 'replaces'));
  },
  async revocation(trial) {
    const names = [trial.name('revocation')];
    const { chain } = await issue(trial, names);
    await can(trial.driver, 'revoke')(names);
    const { status } = await trial.server.acme.fleet.pebble.certificateStatus(chain);
    assert.equal(status, 'Revoked');
  },
  async 'key change'(trial) {
    await issue(trial, [trial.name('old-key')]);
    await can(trial.driver, 'changeKey')();
    await issue(trial, [trial.name('new-key')]);
  },
  async 'a refused name'(trial) {
    const refused = trial.name('www').replace('.example', '.refused.example.com');
    const said = await trial.driver.issue([refused]).then(
      () => assert.fail('it has a certificate for a name that nobody may have'),
      error => {
        if (!(error instanceof ClientFailure)) throw error;
        return error.output;
      },
    );
    assert.ok(
      said.includes(`not admitted: ${refused}; add it as a domain line to an [auth] block on the server`),
      `it says why:\n${said}`,
    );
  },
  'no binding': async trial => {
    const unbound = trial.client.binds ? await trial.openUnbound() : trial;
    await issue(unbound, [unbound.name('unbound')]);
  },
  async 'a slow CA'(trial) {
    const name = trial.name('slow');
    const isSlow = (value: string) => value === name;
    const rule = trial.server.acme.fleet.ca.playPending({
      when: ({ identifiers }) => identifiers?.some(({ value }) => isSlow(value)) ?? false,
    });
    const issuing = issue(trial, [name]);
    await Promise.race([rule.hit().then(() => delay(slowMs)), issuing]).finally(() => rule.remove());
    await issuing;
  },
  async 'mass revocation'(trial) {
    const first = await renewAsTold(trial, 'mass');
    const { lacks, replacesWhenTold } = trial.client;
    if (replacesWhenTold || !lacks.replaces) assertReplaced(trial, first);
  },
};
