import type { LeaseEpoch, LeaseStore } from "../ports/lease.ts";
import type { ClaimAnswer, StandbyLease } from "../ports/standby-lease.ts";

/**
 * The database's lease, for those who stand by: used when there is no Redis. Its epoch tells a renewal from a lease
 * that was lost in between and taken anew. Who else has it the database does not say.
 */
export function createStoreStandbyLease(
  { leases }: { readonly leases: LeaseStore },
  { name }: { readonly name: string },
): StandbyLease {
  const epochs = new Map<string, LeaseEpoch>();
  const denied: ClaimAnswer = { kind: "denied", holder: null };

  return {
    async acquire(claim, ttlMs) {
      const held = await leases.acquire(name, claim, ttlMs);
      epochs.delete(claim);
      if (held === null) return denied;
      epochs.set(claim, held.epoch);
      return { kind: "granted" };
    },
    async renew(claim, ttlMs) {
      const epoch = epochs.get(claim);
      const held = epoch === undefined ? null : await leases.acquire(name, claim, ttlMs);
      if (held !== null && held.epoch === epoch) return { kind: "granted" };
      epochs.delete(claim);
      if (held !== null) await leases.release(name, claim);
      return denied;
    },
    async release(claim) {
      epochs.delete(claim);
      await leases.release(name, claim);
    },
  };
}
