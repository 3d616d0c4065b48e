import { acmeClient } from './acme-client.ts';
import { caddy } from './caddy.ts';
import type { Client } from './client.ts';
import { instantAcme, lego5, xCrypto } from './libraries.ts';
import { step } from './step.ts';

/** All clients that are tried. */
export const allClients: readonly Client[] = [lego5, xCrypto, caddy, step, acmeClient, instantAcme];
