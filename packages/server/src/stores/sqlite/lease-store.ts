import type { Clock } from "@flowcatalyst/foundation";
import { CodedError } from "@flowcatalyst/foundation";
import type { HeldLease, LeaseEpoch, LeaseStore, NodeNumbers } from "../../ports/lease.ts";
import type { SqliteDatabase } from "./database.ts";

/**
 * Leases and node numbers as rows.
 *
 * Epochs of all leases come from one counter, so an epoch names one tenancy of one lease: a writer that is handed only
 * the epoch can check it with `holdsLease`. The epoch rises when the holder changes; a holder that renews, even late,
 * keeps it as long as nobody else took the lease in between.
 *
 * The file belongs to one process (see data-dir-lock.ts), so whoever held something before this process opened it is
 * dead: `releaseStaleLeases` frees it all at start, and a restart does not wait for a lease to run out.
 */
export const leaseLimits = {
  /** A holder stops trusting its lease this share of the time to live before the row runs out. */
  trustMarginShare: 0.1,
  nodeNumbers: 1_024,
} as const;

export interface LeaseStoreDeps {
  readonly database: SqliteDatabase;
  readonly clock: Pick<Clock, "now" | "monotonicMs">;
}

/** Whether the tenancy that `epoch` names is still the lease's newest. Call inside the transaction it fences. */
export function holdsLease(database: SqliteDatabase, epoch: LeaseEpoch): boolean {
  const found = database.statement<{ found: number }, [number]>("SELECT 1 AS found FROM leases WHERE epoch = ?1");
  return found.get(epoch) !== null;
}

export function releaseStaleLeases(database: SqliteDatabase): void {
  database.transaction(() => {
    database.statement("UPDATE leases SET holder = NULL WHERE holder IS NOT NULL").run();
    database.statement("UPDATE node_numbers SET holder = NULL WHERE holder IS NOT NULL").run();
  });
}

interface LeaseRow {
  readonly holder: string | null;
  readonly epoch: number;
  readonly expires_at_ms: number;
}

export function createLeaseStore(deps: LeaseStoreDeps): LeaseStore {
  const { database, clock } = deps;
  const read = database.statement<LeaseRow, [string]>(
    "SELECT holder, epoch, expires_at_ms FROM leases WHERE name = ?1",
  );
  const write = database.statement<never, [string, string, number, number]>(`
    INSERT INTO leases (name, holder, epoch, expires_at_ms) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (name) DO UPDATE SET holder = ?2, epoch = ?3, expires_at_ms = ?4`);
  const nextEpoch = database.statement<{ epoch: number }>(
    "UPDATE lease_epochs SET epoch = epoch + 1 WHERE only_row = 1 RETURNING epoch",
  );
  const free = database.statement<never, [string, string]>(
    "UPDATE leases SET holder = NULL WHERE name = ?1 AND holder = ?2",
  );

  const take = (name: string, holder: string, ttlMs: number): LeaseEpoch | null => {
    const row = read.get(name);
    const nowMs = clock.now();
    const ours = row !== null && row.holder === holder;
    if (row !== null && row.holder !== null && !ours && row.expires_at_ms > nowMs) return null;
    const epoch = ours ? row.epoch : (nextEpoch.get()?.epoch ?? 0);
    write.run(name, holder, epoch, nowMs + ttlMs);
    return epoch as LeaseEpoch;
  };

  return {
    acquire: async (name, holder, ttlMs): Promise<HeldLease | null> => {
      const askedAtMonotonicMs = clock.monotonicMs();
      const epoch = database.transaction(() => take(name, holder, ttlMs));
      if (epoch === null) return null;
      const trustedMs = ttlMs * (1 - leaseLimits.trustMarginShare);
      return { epoch, trustedUntilMonotonicMs: askedAtMonotonicMs + trustedMs };
    },
    release: async (name, holder) => {
      database.transaction(() => free.run(name, holder));
    },
  };
}

export function createNodeNumbers(deps: LeaseStoreDeps): NodeNumbers {
  const { database, clock } = deps;
  const own = database.statement<{ number: number }, [string]>("SELECT number FROM node_numbers WHERE holder = ?1");
  const count = database.statement<{ count: number }>("SELECT count(*) AS count FROM node_numbers");
  // The number that has been free for longest: ids of its last holder are then the furthest away in time.
  const idle = database.statement<{ number: number }, [number]>(`
    SELECT number FROM node_numbers WHERE holder IS NULL OR expires_at_ms <= ?1
    ORDER BY expires_at_ms, number LIMIT 1`);
  const write = database.statement<never, [number, string, number]>(`
    INSERT INTO node_numbers (number, holder, expires_at_ms) VALUES (?1, ?2, ?3)
    ON CONFLICT (number) DO UPDATE SET holder = ?2, expires_at_ms = ?3`);

  const free = database.statement<never, [string, number]>(
    "UPDATE node_numbers SET holder = NULL, expires_at_ms = ?2 WHERE holder = ?1",
  );

  const pick = (holder: string, nowMs: number): number | undefined => {
    const mine = own.get(holder);
    if (mine !== null) return mine.number;
    const used = count.get()?.count ?? 0;
    // Numbers are handed out in order, so rows are 0 to used - 1.
    return used < leaseLimits.nodeNumbers ? used : idle.get(nowMs)?.number;
  };

  return {
    lease: async (holder, ttlMs) =>
      database.transaction(() => {
        const nowMs = clock.now();
        const number = pick(holder, nowMs);
        if (number === undefined) {
          throw new CodedError("STORE_UNAVAILABLE", {
            message: `All ${leaseLimits.nodeNumbers} node numbers are taken by live processes`,
          });
        }
        write.run(number, holder, nowMs + ttlMs);
        return number;
      }),
    release: async (holder) => {
      database.transaction(() => free.run(holder, clock.now()));
    },
  };
}
