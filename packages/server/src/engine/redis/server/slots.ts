/** Redis Cluster's hash slots. Keys of one slot may be used together in a call. */
import calculateSlot from 'cluster-key-slot';

export const SLOTS = 16_384;

export function hashSlotOf(key: string): number {
  return calculateSlot(key);
}
