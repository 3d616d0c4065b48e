import { openStreamWriter, type Store, type StreamWriter } from '../base/redis.ts';
import type { TrailEvent } from './event.ts';

/** The stream of events that are not sealed into files yet, and of the last ones where none are sealed. */
export const trailKey = (prefix: string) => `${prefix}:trail`;

/**
 * Writes events. Beside an `issued` goes the certificate, DER in base64, in a field `leaf`: it is for the
 * inventory, and not sealed.
 */
export type Trail = StreamWriter<TrailEvent>;

/** @param most how many events the stream keeps about, where nobody seals them; else all */
export const openTrail = ({ redis, prefix }: Store, { most = 0 }: { most?: number } = {}): Trail =>
  openStreamWriter(redis, trailKey(prefix), most);
