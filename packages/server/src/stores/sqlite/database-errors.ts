import { SQLiteError } from "bun:sqlite";
import { CodedError } from "@flowcatalyst/foundation";

/**
 * What SQLite reports, as errors of ours. Primary codes are the low byte of an extended one
 * (https://www.sqlite.org/rescode.html), so `SQLITE_IOERR_FSYNC` is an I/O error like any other.
 *
 * A full disk, a failing one and a database locked by somebody else heal: the caller's transaction did not happen and
 * may be tried again. A damaged file does not heal: a start fails with it, and while running every call that meets the
 * damage. What is left (a syntax error, a constraint
 * nobody expected) is a fault of this code and passes through as it came.
 */
const primaryCodes = {
  perm: 3,
  busy: 5,
  locked: 6,
  noMemory: 7,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  protocol: 15,
  notADatabase: 26,
} as const;

const PRIMARY_CODE_MASK = 0xff;

export function toStoreError(error: unknown, path: string): unknown {
  if (!(error instanceof SQLiteError)) return error;
  const context = { path, sqliteCode: error.code };
  switch (error.errno & PRIMARY_CODE_MASK) {
    case primaryCodes.full:
      return new CodedError("STORE_FULL", { context, cause: error });
    case primaryCodes.corrupt:
    case primaryCodes.notADatabase:
      return new CodedError("DATABASE_CORRUPT", {
        message: `The database file ${path} is damaged`,
        context,
        cause: error,
      });
    case primaryCodes.perm:
    case primaryCodes.busy:
    case primaryCodes.locked:
    case primaryCodes.noMemory:
    case primaryCodes.readOnly:
    case primaryCodes.ioError:
    case primaryCodes.cannotOpen:
    case primaryCodes.protocol:
      return new CodedError("STORE_UNAVAILABLE", { context, cause: error });
    default:
      return error;
  }
}

/**
 * The same while opening, when "cannot write" means that it never will: permissions, a path that is no directory, a
 * disk without room.
 */
export function toOpenError(error: unknown, path: string): unknown {
  const sqlite = error instanceof CodedError ? error.cause : error;
  if (!(sqlite instanceof SQLiteError)) return error;
  switch (sqlite.errno & PRIMARY_CODE_MASK) {
    case primaryCodes.perm:
    case primaryCodes.readOnly:
    case primaryCodes.cannotOpen:
      return notWritable(path, sqlite);
    case primaryCodes.ioError:
      return notWritable(`${path} (${sqlite.message}: is the disk full or failing?)`, sqlite);
    case primaryCodes.full:
      return new CodedError("STORE_FULL", { message: `The disk of ${path} is full`, context: { path }, cause: sqlite });
    default:
      return toStoreError(error, path);
  }
}

export function notWritable(path: string, cause: unknown): CodedError {
  return new CodedError("DATA_DIR_NOT_WRITABLE", { message: `${path} cannot be written`, context: { path }, cause });
}
