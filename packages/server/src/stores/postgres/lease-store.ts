import { CodedError, type Clock } from "@flowcatalyst/foundation";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import type { LeaseEpoch, LeaseStore } from "../../ports/lease.ts";
import { databaseNowMs } from "./database-clock.ts";

/**
 * Leases as rows: of several instances of a stage one is active, and a write of any other is refused.
 *
 * States. A lease is free (no row, no holder, or run out), or held by one holder until `expires_at_ms`. Each tenancy
 * has an *epoch* from one sequence for all leases, so an epoch names one tenancy of one lease, and a later tenancy of
 * the lease has a higher one: the number is drawn when the row is locked already. Renewing, even late, keeps the epoch
 * as long as nobody else came in between.
 *
 * What is trusted, and when.
 * - *Whose turn it is* says the database's clock, read when the row is locked. Wall clocks of the instances may be an
 *   hour apart; no instance's clock is compared with another's.
 * - *How long a holder goes on without asking* says its own monotonic clock: nine tenths of the time to live, from
 *   before the request was sent. The row runs out later than that, as the database had the request after it was sent
 *   and the clocks of two machines do not drift by a tenth. So a holder that cannot reach the database stops before
 *   another may start, and two are active at once only if the database's wall clock is set forward (or a failover goes
 *   to a machine whose clock is ahead) by more than what is left of the lease.
 * - *What may be written* depends on neither: every transaction of a holder calls `fence` with its epoch, and commits
 *   only if the epoch still is its lease's newest. This, not the lease, keeps a holder harmless that slept for a minute
 *   between looking at its clock and writing. A lease without fenced writes (a router's standby) has the two clocks
 *   only.
 *
 * Takeover and writers in flight. `fence` locks the row against a change of the epoch (FOR KEY SHARE) until its
 * transaction ends. A takeover changes the epoch, so it waits for transactions that were fenced before it, and whoever
 * fences after it finds its epoch gone. Between the two there is no moment in which the old and the new holder both
 * have a transaction that can commit. Renewing and giving back leave the epoch alone and wait for nobody: PostgreSQL
 * tells a change of a uniquely indexed column from others (manual, "Explicit Locking", row-level locks).
 * That is why renewing is an UPDATE of its own and not part of the upsert, which would lock as if the epoch changed.
 *
 * Failures. A holder that is stopped (SIGSTOP) inside a fenced transaction would hold up its successor for ever; the
 * server rolls such a transaction back after `postgresLimits.idleInTransactionTimeoutMs` (4 s), and one whose
 * connection is cut as soon as it notices. A takeover that waits longer than the statement timeout is STORE_UNAVAILABLE
 * and is tried again. If an answer is lost, the holder asks again and is told the same epoch.
 */
export const leaseLimits = {
  /** A holder stops trusting its lease this share of the time to live before the row runs out. */
  trustMarginShare: 0.1,
} as const;

export interface LeaseStoreDeps {
  readonly database: PostgresDatabase;
  readonly clock: Pick<Clock, "monotonicMs">;
}

export const findEpoch = statement<{ found: number }, [LeaseEpoch]>(
  "SELECT 1 AS found FROM leases WHERE epoch = $1 FOR KEY SHARE",
);

/**
 * Whether the tenancy that `epoch` names is still its lease's newest; if so it stays so until the transaction ends.
 * Call inside the transaction that it fences, before its other locks.
 */
export async function holdsLease(session: PostgresSession, epoch: LeaseEpoch): Promise<boolean> {
  return (await session.one(findEpoch, [epoch])) !== null;
}

/** `holdsLease` for those who cannot go on without. Throws LEASE_LOST, which rolls the transaction back. */
export async function fence(session: PostgresSession, epoch: LeaseEpoch): Promise<void> {
  if (!(await holdsLease(session, epoch))) throw new CodedError("LEASE_LOST");
}

/** Who comes in vain reads only: no lock of it makes the holder wait. */
export const acquireLease = statement<{ epoch: LeaseEpoch }, [name: string, holder: string, ttlMs: number]>(`
  WITH renewed AS (
    UPDATE leases SET expires_at_ms = ${databaseNowMs} + $3::bigint WHERE name = $1 AND holder = $2
    RETURNING epoch
  ), taken AS (
    INSERT INTO leases AS l (name, holder, epoch, expires_at_ms)
    SELECT $1, $2, nextval('lease_epochs'), ${databaseNowMs} + $3::bigint
    WHERE NOT EXISTS (SELECT FROM renewed)
      AND NOT EXISTS (
        SELECT FROM leases WHERE name = $1 AND holder IS NOT NULL AND expires_at_ms > ${databaseNowMs})
    ON CONFLICT (name) DO UPDATE SET
      holder = excluded.holder,
      epoch = CASE WHEN l.holder = excluded.holder THEN l.epoch ELSE nextval('lease_epochs') END,
      expires_at_ms = ${databaseNowMs} + $3::bigint
    WHERE l.holder IS NULL OR l.holder = excluded.holder OR l.expires_at_ms <= ${databaseNowMs}
    RETURNING l.epoch
  )
  SELECT epoch FROM renewed UNION ALL SELECT epoch FROM taken`);

const releaseLease = statement<never, [name: string, holder: string]>(
  "UPDATE leases SET holder = NULL WHERE name = $1 AND holder = $2",
);

export function createLeaseStore({ database, clock }: LeaseStoreDeps): LeaseStore {
  return {
    acquire: async (name, holder, ttlMs) => {
      const askedAtMonotonicMs = clock.monotonicMs();
      const taken = await database.one(acquireLease, [name, holder, ttlMs]);
      if (taken === null) return null;
      const trustedMs = ttlMs * (1 - leaseLimits.trustMarginShare);
      return { epoch: taken.epoch, trustedUntilMonotonicMs: askedAtMonotonicMs + trustedMs };
    },
    release: async (name, holder) => {
      await database.run(releaseLease, [name, holder]);
    },
  };
}
