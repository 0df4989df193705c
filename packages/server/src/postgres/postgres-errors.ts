import pg from "pg";
import { CodedError, isCodedError } from "@flowcatalyst/foundation";

/**
 * What PostgreSQL and the way to it report, as errors of ours. States are those of the manual's appendix A
 * (https://www.postgresql.org/docs/current/errcodes-appendix.html).
 *
 * A server that is gone, starting, stopping, read-only (a standby after a failover) or out of connections heals: the
 * transaction did not happen, unless the connection broke during COMMIT, which nobody can tell apart; every writer is
 * made for that. What is left (a syntax error, a constraint nobody expected) is a fault of this code and passes
 * through.
 */
const fullStates: ReadonlySet<string> = new Set(["53100"]);
const repeatableStates: ReadonlySet<string> = new Set(["40001", "40P01"]);
const unavailableStates: ReadonlySet<string> = new Set([
  "25006", // read-only transaction: a standby
  "25P03", // idle in transaction for too long: this process was stopped
  "55P03", // lock not available in time
  "57014", // statement timeout
  "57P01", // terminated by an administrator
  "57P02", // a backend crashed
  "57P03", // starting, stopping or recovering
  "57P05", // idle for too long
]);
/** Connection, resources, operator intervention by the system, internal faults of the server's machine. */
const unavailableClasses: ReadonlySet<string> = new Set(["08", "53", "58"]);
const STATE_CLASS_CHARS = 2;

export function toStoreError(error: unknown): unknown {
  if (error instanceof CodedError) return error;
  if (!(error instanceof pg.DatabaseError)) return isLost(error) ? unavailable(error) : error;
  const state = error.code ?? "";
  if (fullStates.has(state)) return new CodedError("STORE_FULL", { context: { state }, cause: error });
  if (
    unavailableStates.has(state) ||
    repeatableStates.has(state) ||
    unavailableClasses.has(state.slice(0, STATE_CLASS_CHARS))
  ) {
    return unavailable(error, state);
  }
  return error;
}

/** Two transactions were in each other's way: the loser is rolled back, and may just be done again. */
export function isRepeatable(error: unknown): boolean {
  return error instanceof pg.DatabaseError && repeatableStates.has(error.code ?? "");
}

/** Two rows would be the same to a unique index. The transaction is over; what it collided with is committed. */
export function isUniqueViolation(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === "23505";
}

export function isUnavailable(error: unknown): boolean {
  return isCodedError(error, "STORE_UNAVAILABLE") || isCodedError(error, "STORE_FULL");
}

function unavailable(cause: unknown, state?: string): CodedError {
  return new CodedError("STORE_UNAVAILABLE", { context: state === undefined ? {} : { state }, cause });
}

const lostCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EPIPE",
  "ETIMEDOUT",
]);

/** The driver says in words what is not the server's answer; all of that means that there is no connection. */
const lostWords = /connection|timeout|timed out|not queryable|Client has encountered|socket/i;

function isLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return lostCodes.has(code) || lostWords.test(error.message) || (error.cause !== undefined && isLost(error.cause));
}
