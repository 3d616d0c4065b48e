import { acmeClient } from './acme-client.ts';
import { acmeTiny } from './acme-tiny.ts';
import { acmetool } from './acmetool.ts';
import { caddy, debianCaddy } from './caddy.ts';
import { certbot } from './certbot.ts';
import type { Client } from './client.ts';
import { dehydrated } from './dehydrated.ts';
import { lego4 } from './lego4.ts';
import { instantAcme, lego5, xCrypto } from './libraries.ts';
import { modMd } from './mod-md.ts';
import { step } from './step.ts';
import { uacme } from './uacme.ts';

/** All clients that are tried. */
export const allClients: readonly Client[] = [
  certbot,
  acmeTiny,
  dehydrated,
  uacme,
  acmetool,
  lego4,
  modMd,
  debianCaddy,
  lego5,
  xCrypto,
  caddy,
  step,
  acmeClient,
  instantAcme,
];
