import type { Clock, SecretBox } from "@flowcatalyst/foundation";
import type { SecretStore } from "../../ports/secret-store.ts";
import type { SqliteDatabase } from "./database.ts";
import { raiseRevision } from "./revisions.ts";
import type { StoreWakes } from "./wake-signal.ts";

/**
 * Signing secrets, sealed at rest: the box binds each to its ref, so a row copied to another ref does not open. What
 * was written is durable when `put` returns, because the secret has been shown to somebody by then.
 *
 * Opened secrets are kept for at most a minute and at most `cacheMaxRefs` refs, since every delivery needs one and
 * opening costs about 5 us. A change made through this store takes effect at once, and raises the control revision:
 * routers forget their own copies then, so that a receiver may change to the new secret as soon as it has it.
 */
export const secretStoreLimits = {
  /** Of one ref; each signs every request, so rotating over and over within the overlap drops the oldest. */
  secretsPerRef: 5,
  cacheMaxRefs: 10_000,
  cacheTtlMs: 60_000,
} as const;

export interface SecretStoreDeps {
  readonly database: SqliteDatabase;
  readonly clock: Pick<Clock, "now" | "monotonicMs">;
  readonly secretBox: SecretBox;
  readonly wakes: Pick<StoreWakes, "control">;
}

interface SecretRow {
  readonly sequence: number;
  readonly sealed: string;
  readonly valid_until_ms: number | null;
}

interface OpenedSecret {
  readonly secret: string;
  readonly validUntilMs: number | null;
}

interface CachedRef {
  readonly secrets: readonly OpenedSecret[];
  readonly staleAtMonotonicMs: number;
}

export const readSecrets = `
  SELECT sequence, sealed, valid_until_ms FROM secrets WHERE ref = ?1 ORDER BY sequence DESC`;

export function createSecretStore(deps: SecretStoreDeps): SecretStore {
  const { database, clock, secretBox, wakes } = deps;
  const read = database.statement<SecretRow, [string]>(readSecrets);
  const insert = database.statement<never, [string, number, string]>(
    "INSERT INTO secrets (ref, sequence, sealed, valid_until_ms) VALUES (?1, ?2, ?3, NULL)",
  );
  const limit = database.statement<never, [string, number]>(
    "UPDATE secrets SET valid_until_ms = min(coalesce(valid_until_ms, ?2), ?2) WHERE ref = ?1",
  );
  const dropOld = database.statement<never, [string, number, number]>(
    "DELETE FROM secrets WHERE ref = ?1 AND (valid_until_ms <= ?2 OR sequence <= ?3)",
  );
  const dropAll = database.statement<never, [string]>("DELETE FROM secrets WHERE ref = ?1");
  const cache = new Map<string, CachedRef>();

  const opened = (ref: string): readonly OpenedSecret[] => {
    const cached = cache.get(ref);
    if (cached !== undefined && cached.staleAtMonotonicMs > clock.monotonicMs()) return cached.secrets;
    const secrets = read
      .all(ref)
      .map((row) => ({ secret: secretBox.open(row.sealed, ref), validUntilMs: row.valid_until_ms }));
    cache.delete(ref);
    if (cache.size >= secretStoreLimits.cacheMaxRefs) dropOldest(cache);
    cache.set(ref, { secrets, staleAtMonotonicMs: clock.monotonicMs() + secretStoreLimits.cacheTtlMs });
    return secrets;
  };

  const changed = (ref: string): void => {
    cache.delete(ref);
    wakes.control.wake();
  };

  return {
    put: async (ref, secret, overlapUntilMs) => {
      const sealed = secretBox.seal(secret, ref);
      database.durableTransaction(() => {
        const sequence = (read.all(ref)[0]?.sequence ?? 0) + 1;
        limit.run(ref, overlapUntilMs);
        dropOld.run(ref, clock.now(), sequence - secretStoreLimits.secretsPerRef);
        insert.run(ref, sequence, sealed);
        raiseRevision(database, "control");
      });
      changed(ref);
    },
    valid: async (ref, nowMs) =>
      opened(ref)
        .filter((one) => one.validUntilMs === null || one.validUntilMs > nowMs)
        .map((one) => one.secret),
    remove: async (ref) => {
      database.durableTransaction(() => {
        dropAll.run(ref);
        raiseRevision(database, "control");
      });
      changed(ref);
    },
  };
}

function dropOldest(cache: Map<string, CachedRef>): void {
  const oldest = cache.keys().next();
  if (!oldest.done) cache.delete(oldest.value);
}
