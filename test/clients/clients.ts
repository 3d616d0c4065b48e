import { acmeClient } from './acme-client.ts';
import { caddy } from './caddy.ts';
import type { Client } from './client.ts';
import { lego5, xCrypto } from './go-libraries.ts';
import { step } from './step.ts';

/** All clients that are tried. */
export const allClients: readonly Client[] = [lego5, xCrypto, caddy, step, acmeClient];
