import type { Clock, SecretBox } from "@flowcatalyst/foundation";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import type { SecretStore } from "../../ports/secret-store.ts";
import type { StoreWakes } from "../store-wakes.ts";
import { storable } from "./entity-table.ts";
import { raiseRevision } from "./revisions.ts";

/**
 * Signing secrets, sealed at rest: the box binds each to its ref, so a row copied to another ref does not open.
 *
 * Nothing is cached here. Routers keep secrets for at most a minute and forget them when the control revision changes;
 * a second copy in each platform process could answer them with the secret from before a rotation. A change raises
 * that revision in its own transaction, so that a receiver may change to the new secret as soon as it has it.
 */
export const secretStoreLimits = {
  /** Of one ref; each signs every request, so rotating over and over within the overlap drops the oldest. */
  secretsPerRef: 5,
} as const;

export interface SecretStoreDeps {
  readonly database: PostgresDatabase;
  readonly clock: Pick<Clock, "now">;
  readonly secretBox: SecretBox;
  readonly wakes: Pick<StoreWakes, "control">;
}

export const readSecrets = statement<{ sealed: string }, [ref: string, nowMs: number]>(`
  SELECT sealed FROM secrets WHERE ref = $1 AND (valid_until_ms IS NULL OR valid_until_ms > $2)
  ORDER BY sequence DESC`);
const newestSequence = statement<{ sequence: number }, [ref: string]>(
  "SELECT sequence FROM secrets WHERE ref = $1 ORDER BY sequence DESC LIMIT 1",
);
const limitValidity = statement<never, [ref: string, untilMs: number]>(
  "UPDATE secrets SET valid_until_ms = least(coalesce(valid_until_ms, $2), $2) WHERE ref = $1",
);
const dropOld = statement<never, [ref: string, nowMs: number, sequence: number]>(
  "DELETE FROM secrets WHERE ref = $1 AND (valid_until_ms <= $2 OR sequence <= $3)",
);
const insertSecret = statement<never, [ref: string, sequence: number, sealed: string]>(
  "INSERT INTO secrets (ref, sequence, sealed) VALUES ($1, $2, $3)",
);
const dropAll = statement<never, [ref: string]>("DELETE FROM secrets WHERE ref = $1");

export function createSecretStore(deps: SecretStoreDeps): SecretStore {
  const { database, clock, secretBox, wakes } = deps;
  return {
    put: async (ref, secret, overlapUntilMs) => {
      const sealed = secretBox.seal(secret, ref);
      await database.transaction(async (session) => {
        // First, because it lets one transaction at a time in: two rotations at once would give the same sequence.
        await raiseRevision(session, "control");
        const sequence = ((await session.one(newestSequence, [ref]))?.sequence ?? 0) + 1;
        await session.run(limitValidity, [ref, overlapUntilMs]);
        await session.run(dropOld, [ref, clock.now(), sequence - secretStoreLimits.secretsPerRef]);
        await session.run(insertSecret, [ref, sequence, sealed]);
      });
      wakes.control.wake();
    },
    valid: async (ref, nowMs) => {
      const rows = await database.query(readSecrets, [storable(ref), nowMs]);
      return rows.map((row) => secretBox.open(row.sealed, ref));
    },
    remove: async (ref) => {
      await database.transaction(async (session) => {
        await raiseRevision(session, "control");
        await session.run(dropAll, [ref]);
      });
      wakes.control.wake();
    },
  };
}
