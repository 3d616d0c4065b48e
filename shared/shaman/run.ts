import { dirname, join, resolve } from 'node:path';
import type { AcmeClient } from '../acme/client.ts';
import type { CaConnection } from '../acme/connection.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { LimitedOrder } from '../limits/limited-order.ts';
import type { ExplainedWindow } from '../renewal/renewal-window.ts';
import type { Solver } from '../solver/solver.ts';
import type { Patch, ShamanFile } from './file.ts';
import { type DomainMemory, formatMemory } from './memory.ts';
import type { ShamanDomain, ShamanProfile } from './profile.ts';

/** What stands between a run and the CA's newOrder. */
export type OrderGate = {
  /**
   * Asked before each newOrder.
   *
   * @param order `replaces`: it renews a certificate, as renewal information names that
   * @throws IssuanceError where the CA is not to be asked now; it becomes the domain's failure
   */
  before(order: LimitedOrder & { replaces?: string | undefined }): Promise<void>;
  /** Told why an order came to nothing. @returns the error to be told, perhaps with a better `retryAfter` */
  failed(order: LimitedOrder, error: unknown): Promise<unknown>;
  /** Told that a certificate was issued. */
  issued(order: LimitedOrder): Promise<void>;
};

export type ShamanParts = {
  /** Where `shaman.json` lies. */
  directory: string;
  /** The folders in which programs are looked for that are not in the directory: those of PATH. */
  path: readonly string[];
  /** For domains without authenticators, in the order of preference. */
  solvers?: readonly Solver[];
  /** PEM certificates of the authorities that the CA's own HTTPS is checked with, in place of the system's. */
  ca?: string[] | undefined;
  gate?: OrderGate;
  /** Told once for each certificate where the CA gives a page that explains its window for renewal. */
  explained?: (names: string[], window: ExplainedWindow) => Promise<void>;
  /** Runs these domains alone. */
  only?: readonly string[];
  /** Renews whatever is run, due or not. */
  now?: boolean;
  /** Whether a domain whose last attempts failed is left alone until its backoff is over. */
  patient?: boolean;
  /** When the next run will be, in milliseconds since the epoch: what would fall before is renewed now. */
  nextRun?: number | undefined;
  /** Whether certificates that are due by days at one moment are spread over a while. */
  spread?: boolean;
  clock: Clock;
  /** Gets whole sentences, those of one domain with its name in front, and `domain` as a field. */
  log: Log;
  signal: AbortSignal;
};

/** One run, with its account open. */
export type ShamanRun = ShamanParts & {
  file: ShamanFile;
  profile: ShamanProfile;
  connection: CaConnection;
  acme: AcmeClient;
  accountUrl: string;
  /** Asked before what must not be done twice; rejects when the directory is another run's by now. */
  confirm: () => Promise<void>;
};

export const keyFileOf = (name: string) => `${name}.key.priv.pem`;
export const certificateFileOf = (name: string) => `${name}.cert.pub.pem`;

/** A file as `shaman.json` names it. */
export const inDirectory = ({ path }: ShamanFile, name: string) => resolve(dirname(path), name);
export const certificatePath = ({ path }: ShamanFile, name: string) =>
  join(dirname(path), certificateFileOf(name));

type Change = Partial<Pick<ShamanDomain, 'key' | 'orderUrl' | 'certificateUrl' | 'memory'>>;

const keys = { key: 'key', orderUrl: 'order_id', certificateUrl: 'certificate_id' } as const;

/** What a run knows of a domain, the same in `shaman.json` and here. */
export class DomainEntry {
  readonly #file: ShamanFile;
  #domain: ShamanDomain;

  constructor(file: ShamanFile, domain: ShamanDomain) {
    this.#file = file;
    this.#domain = domain;
  }

  get domain(): Readonly<ShamanDomain> {
    return this.#domain;
  }

  /** What is undefined in it is removed. Of the memory only the parts that are named change. */
  async change(change: Change): Promise<void> {
    const memory: DomainMemory = { ...this.#domain.memory, ...change.memory };
    this.#domain = { ...this.#domain, ...change, memory };
    const patch: Patch = change.memory ? { quarry: formatMemory(memory) } : {};
    for (const [field, key] of Object.entries(keys)) {
      if (field in change) patch[key] = change[field as keyof typeof keys];
    }
    await this.#file.patchDomain(this.#domain.name, patch);
  }
}
