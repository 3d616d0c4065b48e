import { bring, type Found, fromDebian, fromGo, fromPip } from './bring.ts';
import { provision } from './provision.ts';

// The CAs that Quarry is tried with beside Pebble.

export type { Found } from './bring.ts';

const programs = {
  debianPebble: fromDebian('pebble'),
  debianCaddy: fromDebian('caddy'),
  caddy: fromGo('caddy', 'github.com/caddyserver/caddy/v2/cmd/caddy', 'v2.11.9'),
  stepCa: fromGo('step-ca', 'github.com/smallstep/certificates/cmd/step-ca', 'v0.30.2'),
  acme2certifier: fromPip('acme2certifier-0.46.3', ['acme2certifier==0.46.3', 'gunicorn==27.0.1']),
  serles: fromPip('serles-1.3.0', ['serles-acme==1.3.0', 'gunicorn==27.0.1']),
};

export type CaProgram = keyof typeof programs;

const goOnly: readonly CaProgram[] = ['caddy', 'stepCa'];

async function provisionCa(which: CaProgram): Promise<Found> {
  if (goOnly.includes(which) && process.env.QUARRY_TEST_CAS !== 'all')
    return { missing: 'QUARRY_TEST_CAS=all builds it' };
  return bring(programs[which]);
}

/** All CAs, and whatever else their tests need: in a network of its own nothing can be brought any more. */
export async function provisionCas(): Promise<Record<CaProgram | 'pebble', Found>> {
  const { pebble } = await provision();
  const found: Partial<Record<CaProgram | 'pebble', Found>> = { pebble: { path: pebble } };
  for (const which of Object.keys(programs) as CaProgram[]) found[which] = await provisionCa(which);
  return found as Record<CaProgram | 'pebble', Found>;
}
