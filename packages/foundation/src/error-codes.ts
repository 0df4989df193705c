/**
 * The closed set of error codes of the product.
 *
 * One row per code: the HTTP status it becomes, the title a person reads, and what that person can do about it.
 * The table is the single source for the type `ErrorCode`, the problem documents, the exit codes and the generated
 * page docs/reference/errors.md, so a code can't exist in one of them and be missing in another.
 *
 * `scope` says where a code is met:
 * - `request`: an HTTP answer (and the SDK and CLI that read it),
 * - `process`: a process that cannot start or go on; it prints one line and exits,
 * - `delivery`: recorded with a job, an attempt or a message that was set aside.
 */

/** Where a code is met; see the head of this file. */
export type ErrorScope = "request" | "process" | "delivery";

/** One row of the table. `status` is an HTTP status; process-only codes carry 500 because they never reach HTTP. */
export type ErrorCodeEntry = {
  readonly status: number;
  readonly scope: ErrorScope;
  readonly title: string;
  readonly advice: string;
};

export const errorCodes = {
  // The request itself is wrong.
  VALIDATION_FAILED: {
    status: 400,
    scope: "request",
    title: "The request is not valid",
    advice: "Correct the fields listed under `errors` and send the request again.",
  },
  MALFORMED_JSON: {
    status: 400,
    scope: "request",
    title: "The body is not valid JSON",
    advice: "Send one JSON document encoded as UTF-8; `message` tells where reading stopped.",
  },
  UNKNOWN_FIELD: {
    status: 400,
    scope: "request",
    title: "The request has a field that does not exist",
    advice: "Remove the field named under `errors`, or correct its spelling.",
  },
  PATTERN_INVALID: {
    status: 400,
    scope: "request",
    title: "The event type pattern is not valid",
    advice: "Use segments split by `:` or `.`, `*` for one whole segment, and `**` only as the last one.",
  },
  FILTER_INVALID: {
    status: 400,
    scope: "request",
    title: "The filter expression is not valid",
    advice: "Correct the CEL expression at the position given; the variables are `event` and `data`.",
  },
  SCHEMA_INVALID: {
    status: 400,
    scope: "request",
    title: "The JSON Schema is not valid",
    advice: "Send a schema of JSON Schema 2020-12 with MAJOR.MINOR as its version.",
  },
  DATA_DOES_NOT_MATCH_SCHEMA: {
    status: 400,
    scope: "request",
    title: "The event data does not match the schema of its type",
    advice: "Correct the data at the paths listed under `errors`, or publish under another event type.",
  },
  CURSOR_INVALID: {
    status: 400,
    scope: "request",
    title: "The cursor is not valid",
    advice: "Use `nextCursor` of the previous page unchanged and with the same filters, or start without a cursor.",
  },
  TARGET_FORBIDDEN: {
    status: 400,
    scope: "request",
    title: "The target address is not allowed",
    advice: "Use a public http(s) address, or have the operator allow the network in FC_ALLOWED_TARGET_CIDRS.",
  },
  RETRY_POLICY_INVALID: {
    status: 400,
    scope: "request",
    title: "The retry policy is not valid",
    advice: "Keep the sum of all delays within maxAgeSeconds, or raise maxAgeSeconds.",
  },
  MEDIATION_TYPE_UNSUPPORTED: {
    status: 400,
    scope: "request",
    title: "The mediation type is not supported",
    advice: "Use `HTTP`.",
  },
  MESSAGE_INVALID: {
    status: 400,
    scope: "request",
    title: "The message is not valid",
    advice: "Compare the message with docs/reference/queues.md; `errors` names the fields.",
  },
  IDEMPOTENCY_KEY_INVALID: {
    status: 400,
    scope: "request",
    title: "The idempotency key is not valid",
    advice: "Use 1 to 255 printable characters.",
  },
  UNAUTHENTICATED: {
    status: 401,
    scope: "request",
    title: "Authentication is required",
    advice: "Send `Authorization: Bearer <token>` with one of the tokens in FC_API_TOKENS.",
  },
  FORBIDDEN: {
    status: 403,
    scope: "request",
    title: "This is not permitted",
    advice: "Use a principal that may do this, or ask an administrator for the permission.",
  },
  NOT_FOUND: {
    status: 404,
    scope: "request",
    title: "Not found",
    advice: "Check the path and the id; an entity of another client is reported as not found too.",
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    scope: "request",
    title: "The method is not allowed here",
    advice: "Use one of the methods named in the `Allow` header.",
  },
  DUPLICATE: {
    status: 409,
    scope: "request",
    title: "This already exists",
    advice: "Choose another name or code, or update the existing entity.",
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 409,
    scope: "request",
    title: "The idempotency key was used with another request",
    advice: "Use a new key for a new request; a repeat must have exactly the same body.",
  },
  STATE_CONFLICT: {
    status: 409,
    scope: "request",
    title: "The current state does not allow this",
    advice: "Read the entity again; `message` says which state stands in the way.",
  },
  VERSION_MISMATCH: {
    status: 412,
    scope: "request",
    title: "The entity has changed in the meantime",
    advice: "Read the entity again and repeat the change with its present `version` in If-Match.",
  },
  PAYLOAD_TOO_LARGE: {
    status: 413,
    scope: "request",
    title: "The body or the event data is too large",
    advice: "An event carries at most 256 KiB of data and a batch 32 MiB; send a reference to larger data.",
  },
  BATCH_TOO_LARGE: {
    status: 413,
    scope: "request",
    title: "The batch has too many items",
    advice: "Split the batch; the limit is in `message`.",
  },
  MESSAGE_TOO_LARGE: {
    status: 413,
    scope: "request",
    title: "The message is too large for the queue in use",
    advice: "Make the data smaller, or use a queue that carries more.",
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    scope: "request",
    title: "The content type is not supported",
    advice: "Send application/json, or one of the CloudEvents content types where events are published.",
  },
  RATE_LIMITED: {
    status: 429,
    scope: "request",
    title: "Too many requests",
    advice: "Wait for the time in `Retry-After`, then send the request again.",
  },
  INTERNAL: {
    status: 500,
    scope: "request",
    title: "An unexpected error occurred",
    advice: "Try again; if it stays, report it with the x-request-id of the answer.",
  },
  NOT_IMPLEMENTED: {
    status: 501,
    scope: "request",
    title: "This is not available in this build",
    advice: "Use a build or a store that has it; `message` says which.",
  },
  OVERLOADED: {
    status: 503,
    scope: "request",
    title: "The server is at its limit",
    advice: "Nothing was accepted. Wait for the time in `Retry-After`, then send the request again.",
  },
  STORE_UNAVAILABLE: {
    status: 503,
    scope: "request",
    title: "The database cannot be reached",
    advice: "Send the request again later; operators check the database and FC_DATABASE_URL.",
  },
  STORE_FULL: {
    status: 503,
    scope: "request",
    title: "The disk of the database is full",
    advice: "Free disk space or lower FC_RETENTION_DAYS; accepting starts again by itself.",
  },
  QUEUE_UNAVAILABLE: {
    status: 503,
    scope: "request",
    title: "The queue cannot be reached",
    advice: "Check that the broker runs, and its address in FC_QUEUE_URL or --queue; then try again.",
  },
  LEASE_LOST: {
    status: 503,
    scope: "request",
    title: "Another instance has become the active one",
    advice: "Send the request again; this instance stands by until the lease is free.",
  },
  SHUTTING_DOWN: {
    status: 503,
    scope: "request",
    title: "The server is stopping",
    advice: "Send the request again; another instance, or this one after its restart, will answer.",
  },
  SEARCH_TIMED_OUT: {
    status: 503,
    scope: "request",
    title: "The search took too long",
    advice: "Narrow the search, most of all its time window.",
  },
  TIMEOUT: {
    status: 504,
    scope: "request",
    title: "The operation took too long",
    advice: "Send the request again; use the same idempotency key so that it happens once.",
  },
  SERVER_UNREACHABLE: {
    status: 503,
    scope: "request",
    title: "The server cannot be reached",
    advice: "Check the address (FC_API_BASE_URL or --url), and that the server runs: `flowcatalyst dev`.",
  },

  // A process cannot start or go on.
  USAGE_INVALID: {
    status: 500,
    scope: "process",
    title: "The command line is not valid",
    advice: "Run the command with --help.",
  },
  CONFIG_INVALID: {
    status: 500,
    scope: "process",
    title: "The configuration is not valid",
    advice: "Correct the settings listed; `flowcatalyst config check` shows where each value comes from.",
  },
  FEATURE_NOT_BUILT: {
    status: 500,
    scope: "process",
    title: "The configuration asks for something this build does not have",
    advice: "Choose another value; the configuration reference lists what this build knows.",
  },
  APP_KEY_INVALID: {
    status: 500,
    scope: "process",
    title: "The application key is not valid",
    advice: "FC_APP_KEY must be base64 of 32 bytes: `openssl rand -base64 32`.",
  },
  DATA_DIR_IN_USE: {
    status: 500,
    scope: "process",
    title: "The data directory is in use by another process",
    advice: "Stop the process named, or set FC_DATA_DIR to another directory.",
  },
  DATA_DIR_NOT_WRITABLE: {
    status: 500,
    scope: "process",
    title: "The data directory cannot be written",
    advice: "Correct the permissions of the directory, or set FC_DATA_DIR to another one.",
  },
  DATABASE_CORRUPT: {
    status: 500,
    scope: "process",
    title: "The database file is damaged",
    advice: "Restore it from a backup, or move the file away to start with an empty database.",
  },
  DATABASE_TOO_NEW: {
    status: 500,
    scope: "process",
    title: "The database was written by a newer version",
    advice: "Start the newer version, or restore a backup made by this one.",
  },
  DATABASE_NOT_MIGRATED: {
    status: 500,
    scope: "process",
    title: "The database is not migrated to this version",
    advice: "Run `flowcatalyst migrate`, or start one process with `--migrate`.",
  },
  DATABASE_UNREACHABLE: {
    status: 500,
    scope: "process",
    title: "The database did not answer when the process started",
    advice:
      "Check that it runs and takes connections from here, and FC_DATABASE_URL or FC_QUEUE_URL; then start again.",
  },
  APP_KEY_DIFFERS: {
    status: 500,
    scope: "process",
    title: "The application key is not the one that the secrets of this database are sealed with",
    advice: "Set FC_APP_KEY as the other processes have it; while it is rotated, both keys, the new one first.",
  },
  PORT_IN_USE: {
    status: 500,
    scope: "process",
    title: "The port is taken by another process",
    advice: "Stop the process that listens there, or set another port.",
  },
  TRANSPORT_LIMIT_TOO_LOW: {
    status: 500,
    scope: "process",
    title: "The runtime would limit the number of calls at once",
    advice: "Start through the `flowcatalyst` command, or set BUN_CONFIG_MAX_HTTP_REQUESTS before the start.",
  },
  STOP_TIMED_OUT: {
    status: 500,
    scope: "process",
    title: "Stopping took too long",
    advice: "Nothing accepted is lost; the services named did not end within the hard deadline.",
  },

  // Recorded with a job, an attempt or a message that was set aside.
  SECRET_UNKNOWN: {
    status: 500,
    scope: "delivery",
    title: "The signing secret is not known",
    advice: "Create or rotate the secret named; deliveries are held until then and never sent unsigned.",
  },
  SECRET_UNREADABLE: {
    status: 500,
    scope: "delivery",
    title: "A stored secret cannot be opened with the present application key",
    advice: "Add the key it was sealed with to FC_APP_KEY (comma separated, the new one first), or rotate the secret.",
  },
  MESSAGE_UNREADABLE: {
    status: 500,
    scope: "delivery",
    title: "A message could not be read and was set aside",
    advice: "Look at it in the dead-letter place of the queue; the reason is kept with it.",
  },
  EVENT_POISONED: {
    status: 500,
    scope: "delivery",
    title: "An event could not be processed and was set aside",
    advice: "Look at its reason; the stream goes on without it.",
  },
} as const satisfies Record<string, ErrorCodeEntry>;

/** A code of the closed set. */
export type ErrorCode = keyof typeof errorCodes;

/** True when the text is one of our codes: for clients that read a problem document written by another version. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorCodes, text);
}

/** Exit codes of every command, as documented in `--help`. */
export const exitCodes = {
  ok: 0,
  /** What was asked for was done and did not succeed, or the process cannot start or go on. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** The server found the request not valid. */
  refused: 3,
  notPermitted: 4,
  notFound: 5,
  /** What is there already stands against it. */
  conflict: 6,
  /** The server could not be reached, is overloaded or limits: try again later. */
  unavailable: 7,
} as const;

/**
 * The exit code of a command that ends with this error.
 *
 * A process that cannot start or go on exits 1 whatever the reason is: its one line says it. The other codes let a
 * script that talks to a running server tell "correct your input" from "try again later".
 */
export function exitCodeFor(code: ErrorCode): number {
  if (code === "USAGE_INVALID") return exitCodes.usage;
  const { scope, status } = errorCodes[code] as ErrorCodeEntry;
  return scope === "request" ? exitCodeForStatus(status) : exitCodes.failed;
}

/** The exit code of a command whose request was answered with this HTTP status; 0: it was not answered at all. */
export function exitCodeForStatus(status: number): number {
  if (status === 0) return exitCodes.unavailable;
  if (status === 401 || status === 403) return exitCodes.notPermitted;
  if (status === 404) return exitCodes.notFound;
  if (status === 409 || status === 412) return exitCodes.conflict;
  if (status === 429 || status === 503 || status === 504) return exitCodes.unavailable;
  if (status >= 500) return exitCodes.failed;
  return exitCodes.refused;
}
