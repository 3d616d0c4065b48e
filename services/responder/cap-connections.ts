import type { Socket } from 'node:net';
import type { ConnectionRoom } from '../../shared/base/role.ts';

export type ConnectionLimits = {
  connections: number;
  /** Of one address. */
  perAddress: number;
};

/** No more than the process has descriptors for. */
export const withinRoom = <Limits extends ConnectionLimits>(
  limits: Limits,
  room?: ConnectionRoom,
): Limits => ({
  ...limits,
  connections: Math.min(limits.connections, room?.perListener ?? Infinity),
});

/** The connections of a server; those that have been silent for longest come first. */
type CappedConnections = {
  /**
   * Takes a connection in, for which the one that has been silent for longest may have to give way. @returns
   * false where its address has too many: then it is destroyed
   */
  admit(socket: Socket): boolean;
  /** It has just said something. */
  heard(socket: Socket): void;
  all(): Iterable<Socket>;
};

/** @param isExempt whether an address may have any number, as a proxy that brings those of many clients */
export function capConnections(
  { connections, perAddress }: ConnectionLimits,
  isExempt: (address: string) => boolean = () => false,
): CappedConnections {
  const open = new Set<Socket>();
  const isFull = (address: string) =>
    !isExempt(address) &&
    [...open].filter(({ remoteAddress }) => remoteAddress === address).length >= perAddress;

  return {
    admit(socket) {
      if (isFull(socket.remoteAddress ?? '')) {
        socket.destroy();
        return false;
      }
      if (open.size >= connections) open.values().next().value?.destroy();
      open.add(socket);
      socket.once('close', () => open.delete(socket));
      return true;
    },
    heard(socket) {
      if (open.delete(socket)) open.add(socket);
    },
    all: () => open,
  };
}
