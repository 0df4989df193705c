import type { LeaseStore } from "../ports/lease.ts";
import type { ProcessContext } from "./process-context.ts";

/** What was last heard of a lease. */
type Heard =
  | { readonly kind: "not asked" }
  | { readonly kind: "active"; readonly untilMonotonicMs: number }
  | { readonly kind: "standby" }
  | { readonly kind: "failed"; readonly reason: string };

/**
 * A health check for each of the leases named, fed by watching the stages ask for them.
 *
 * An instance that stands by is as ready as the active one: it is there to take over. What is not ready is one that
 * cannot learn whose the lease is. A holder that cannot renew is that too, once it may not trust its lease any more.
 */
export function watchedLeases(
  leases: LeaseStore,
  names: readonly string[],
  { health, clock }: Pick<ProcessContext, "health" | "clock">,
): LeaseStore {
  const heard = new Map<string, Heard>(names.map((name) => [name, { kind: "not asked" }]));
  const hear = (name: string, what: Heard): void => {
    if (heard.has(name)) heard.set(name, what);
  };
  for (const name of names) {
    health.register(`lease-${name}`, () => {
      const last = heard.get(name) ?? { kind: "not asked" };
      switch (last.kind) {
        case "not asked":
          return { status: "UP", data: { role: "starting" } };
        case "standby":
          return { status: "UP", data: { role: "standby" } };
        case "active":
          return { status: "UP", data: { role: clock.monotonicMs() < last.untilMonotonicMs ? "active" : "standby" } };
        case "failed":
          return { status: "DOWN", data: { reason: last.reason } };
      }
    });
  }
  return {
    acquire: async (name, holder, ttlMs) => {
      try {
        const held = await leases.acquire(name, holder, ttlMs);
        hear(
          name,
          held === null ? { kind: "standby" } : { kind: "active", untilMonotonicMs: held.trustedUntilMonotonicMs },
        );
        return held;
      } catch (error) {
        hear(name, { kind: "failed", reason: error instanceof Error ? error.message : String(error) });
        throw error;
      }
    },
    release: async (name, holder) => {
      hear(name, { kind: "standby" });
      await leases.release(name, holder);
    },
  };
}
