import { describeError } from '../../shared/base/errors.ts';
import { openDirectClient } from './direct-client.ts';
import type { NamedCsr } from './named-csrs.ts';
import { openSigningStockClient } from './stock-client.ts';

// A program of its own, `client-program.ts <name> <ClientSpec as JSON>`, which gets certificates for what
// comes over its channel.

/** The ways without Quarry's roles. */
const clients = { direct: openDirectClient, stock: openSigningStockClient };

export type ClientName = keyof typeof clients;

export type ClientSpec = {
  /** Quarry's configuration, for the one that is made of Quarry's parts. */
  iniFile: string;
  redisUrl: string;
  directoryUrl: string;
  caFile: string;
};

/** The messages of the channel. */
export type ToClient = { id: number; csr: NamedCsr };
export type FromClient = { ready: true } | { id: number; error?: string };

const [name = '', spec = ''] = process.argv.slice(2);
const tell = (message: FromClient) => process.send?.(message);

process.on('disconnect', () => process.exit());
const sign = await clients[name as ClientName](JSON.parse(spec) as ClientSpec);
process.on('message', ({ id, csr }: ToClient) => {
  sign(csr).then(
    () => tell({ id }),
    error => tell({ id, error: describeError(error) }),
  );
});
tell({ ready: true });
