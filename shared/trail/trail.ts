import { openStreamWriter, type Store, type StreamWriter } from '../base/redis.ts';
import type { TrailConfig } from '../config/trail.ts';
import type { TrailEvent } from './event.ts';

/** The stream of events that are not sealed into files yet, and of the last ones where none are sealed. */
export const trailKey = (prefix: string) => `${prefix}:trail`;

/**
 * Writes events. Beside an `issued` goes the certificate, DER in base64, in a field `leaf`: it is for the
 * inventory, and not sealed.
 */
export type Trail = StreamWriter<TrailEvent>;

/** Where nobody seals the events, Redis keeps no more than these entries: of one event each, some 15 MB. */
const MOST_UNSEALED = 50_000;

/** How the trail is written by those who write much. */
export const trailOptions = ({ dir }: TrailConfig) => (dir === undefined ? { most: MOST_UNSEALED } : {});

/** @param most how many entries the stream keeps about, where nobody seals them; else all */
export const openTrail = ({ redis, prefix }: Store, { most = 0 }: { most?: number } = {}): Trail =>
  openStreamWriter(redis, trailKey(prefix), most);
