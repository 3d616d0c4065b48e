import type { AcmeConfig } from '../acme-server/acme-section.ts';
import type { AuthBlockConfig } from '../admission/auth-section.ts';
import type { AccountConfig } from '../ca/account-section.ts';
import type { AdminConfig } from '../config/admin.ts';
import type { LoggingConfig } from '../config/logging.ts';
import type { MgmtConfig } from '../config/mgmt.ts';
import type { RedisConfig } from '../config/redis.ts';
import type { TrailConfig } from '../config/trail.ts';
import type { WorkerConfig } from '../config/worker.ts';
import type { TsigKey } from '../dns/tsig.ts';
import type { LimitsConfig } from '../limits/limits-section.ts';
import type { NotifyConfig } from '../notify/notify-section.ts';
import type { RenewalConfig } from '../shaman/renewal-section.ts';
import type { VerificationConfig } from '../solver/kinds.ts';
import type { ProgramFile } from '../solver/program.ts';
import type { SelfCheckConfig } from '../solver/self-check.ts';
import type { StorageConfig } from '../storage/storage-section.ts';

// Which option each field of the configuration comes from, and whether a process that runs takes its change
// over. A field that has no place here does not compile.

/** What a field comes from; of a field of several options, which each of its own fields comes from. */
type From = string | Record<string, string>;

/** `derived`: it follows from other options, which are named where they change. */
export type Placing = { change: 'taken' | 'needsRestart'; from: From } | 'derived';

/** Of every form of a union too. */
type FieldsOf<T> = T extends unknown ? keyof T : never;
type FieldsIn<T> = FieldsOf<NonNullable<T> extends readonly (infer One)[] ? One : NonNullable<T>>;

const taken = (option: string): Placing => ({ change: 'taken', from: option });
const needsRestart = (option: string): Placing => ({ change: 'needsRestart', from: option });
const takenOf = <T>(from: Record<FieldsIn<T>, string>): Placing => ({ change: 'taken', from });
const needsRestartOf = <T>(from: Record<FieldsIn<T>, string>): Placing => ({ change: 'needsRestart', from });

type Placings<T> = Record<FieldsOf<T>, Placing>;

const mgmt: Placings<MgmtConfig & { secretFile: string }> = {
  listeners: needsRestart('listener'),
  maxSize: taken('max-size'),
  wait: taken('wait'),
  trustedProxies: taken('trusted-proxy'),
  tls: needsRestartOf<MgmtConfig['tls']>({ certFile: 'tls-cert', keyFile: 'tls-key' }),
  clientCaFile: taken('client-ca'),
  reload: taken('reload'),
  secretFile: needsRestart('secret-file'),
};

/** An account is opened once, with all that leads to its CA. */
const account: Placings<Omit<AccountConfig, 'limits'>> = {
  name: 'derived',
  acmeServer: needsRestart('acme-server'),
  termsOfService: needsRestart('accept-terms-of-service'),
  dir: needsRestart('dir'),
  contact: needsRestart('contact'),
  eab: needsRestartOf<AccountConfig['eab']>({ kid: 'eab-kid', hmacKey: 'eab-hmac-key' }),
  caFile: needsRestart('ca-file'),
  proxy: needsRestart('proxy'),
  keyType: needsRestart('key-type'),
  anyKey: taken('keys'),
};

const limits: Placings<LimitsConfig> = {
  orders: taken('orders'),
  certificatesPerDomain: taken('certificates-per-domain'),
  certificatesPerSet: taken('certificates-per-set'),
  failedAuthorizations: taken('failed-authorizations'),
};

const auth: Placings<AuthBlockConfig> = {
  name: 'derived',
  ips: taken('ip'),
  hmac: takenOf<AuthBlockConfig['hmac']>({ type: 'hmac_type', keys: 'hmac_key', version: 'hmac' }),
  clientCerts: taken('client-cert'),
  token: taken('token'),
  all: taken('all'),
  domains: taken('domain'),
  addresses: taken('address'),
  ownNames: taken('{client}'),
  verifications: taken('verification'),
  challenges: 'derived',
  storage: taken('storage'),
  accounts: takenOf<AuthBlockConfig['accounts']>({
    account: 'account',
    certificateProfile: 'certificate-profile',
    preferredChain: 'preferred-chain',
    profileIfOffered: 'certificate-profile',
    anyKey: '',
  }),
  share: takenOf<AuthBlockConfig['share']>({ name: 'share', part: 'share' }),
  bounds: takenOf<AuthBlockConfig['bounds']>({
    slots: 'slots',
    queueMax: 'queue-max',
    rate: 'rate',
    blockRate: 'block-rate',
  }),
  clientProof: takenOf<AuthBlockConfig['clientProof']>({
    types: 'client-proof',
    networks: 'client-proof-network',
  }),
};

const verification: Placings<VerificationConfig> = {
  name: 'derived',
  type: taken('type'),
  challenge: taken('challenge'),
  listeners: needsRestart('listener'),
  selfCheck: takenOf<SelfCheckConfig>({
    mode: 'self-check',
    port: 'self-check-port',
    resolvers: 'self-check-resolver',
    networks: 'self-check-network',
    proxy: 'self-check-proxy',
  }),
  setTxtUrl: taken('set-txt_url'),
  servers: taken('dns-server'),
  ttl: taken('ttl'),
  timeout: taken('timeout'),
  key: takenOf<TsigKey>({
    name: 'tsig-name',
    algorithm: 'tsig-algorithm',
    secret: 'tsig-secret',
  }),
  zones: taken('zone'),
  propagation: taken('propagation'),
  propagationServers: taken('propagation-server'),
  resolvers: taken('resolver'),
  issuer: taken('issuer'),
  command: takenOf<ProgramFile>({
    path: 'command',
    place: '',
  }),
  cleanup: takenOf<ProgramFile>({
    path: 'cleanup-command',
    place: '',
  }),
  folder: 'derived',
  nameServers: taken('ns'),
  hostmaster: taken('hostmaster'),
  rateLimit: taken('rate-limit'),
};

const storage: Placings<StorageConfig> = {
  name: 'derived',
  type: taken('type'),
  directory: taken('directory'),
  renewWithin: taken('renew-within'),
  renewAhead: taken('renew-ahead'),
  keepExpired: taken('keep-expired'),
};

const renewal: Placings<RenewalConfig> = {
  name: 'derived',
  directory: taken('shaman-profile'),
  schedule: taken('schedule'),
  accounts: taken('account'),
  verifications: taken('verification'),
};

const notify: Placings<NotifyConfig> = {
  name: 'derived',
  type: 'derived',
  kinds: taken('on'),
  url: taken('url'),
  hmacKey: taken('hmac_key'),
  proxy: 'derived',
  command: taken('command'),
  folder: 'derived',
  to: taken('mail'),
  from: taken('from'),
  smtp: taken('smtp'),
  login: takenOf<Extract<NotifyConfig, { type: 'mail' }>['login']>({
    user: 'smtp-user',
    password: 'smtp-password',
  }),
  caFile: taken('ca-file'),
};

const logging: Placings<LoggingConfig> = {
  level: taken('level'),
  destination: needsRestart('destination'),
  format: needsRestart('format'),
};

const redis: Placings<RedisConfig> = {
  url: needsRestart('url'),
  sentinel: needsRestartOf<NonNullable<RedisConfig['sentinel']>>({
    ...{ endpoints: 'sentinel', master: 'sentinel-master', tls: 'sentinel-tls' },
    ...{ user: 'sentinel-user', password: 'sentinel-password' },
  }),
  cluster: needsRestart('cluster'),
  tls: needsRestart('tls'),
  tlsFiles: needsRestartOf<RedisConfig['tlsFiles']>({
    caFile: 'ca-file',
    certFile: 'tls-cert',
    keyFile: 'tls-key',
  }),
  user: needsRestart('user'),
  password: needsRestart('password'),
  users: needsRestart('user-ROLE'),
  prefix: needsRestart('prefix'),
  dir: needsRestart('dir'),
};

/** A process shares its descriptors out by it, once for all of its roles. */
const worker: Placings<WorkerConfig> = { concurrency: needsRestart('concurrency') };

const admin: Placings<AdminConfig> = { listeners: needsRestart('listener') };

const acme: Placings<AcmeConfig> = {
  url: taken('url'),
  termsOfService: taken('terms-of-service'),
  website: taken('website'),
  caaIdentities: taken('caa-identity'),
  profiles: taken('profile'),
  proof: takenOf<AcmeConfig['proof']>({
    ...{ resolvers: 'proof-resolver', httpPort: 'proof-http-port', tlsPort: 'proof-tls-port' },
    tries: 'proof-tries',
  }),
  newAccounts: taken('new-accounts'),
};

const trail: Placings<TrailConfig> = {
  dir: needsRestart('dir'),
  keyFile: needsRestart('key-file'),
  keep: taken('keep'),
  syslog: needsRestart('syslog'),
};

/** By section. */
export const optionsOf = {
  ...{ mgmt, account, limits, auth, verification, storage },
  ...{ renewal, notify, logging, redis, worker, admin, acme, trail },
};
