import { errorCodes, type ErrorCode } from "./error-codes.ts";

/** One fault of one field of a request. `path` is a JSON path such as `events[3].type`; empty means the whole body. */
export type FieldFault = { readonly path: string; readonly message: string };

/** What a CodedError carries beside its code. */
export type CodedErrorOptions = {
  /** Told to the caller word for word: no secrets and no internals. Left out, it is the title of the code. */
  readonly message?: string;
  /** For the log only, never sent to a caller. */
  readonly context?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
  readonly errors?: readonly FieldFault[];
  /** Becomes the `Retry-After` header, in whole seconds. */
  readonly retryAfterSeconds?: number;
};

/**
 * The one error class of the product.
 *
 * It speaks with two voices: `publicMessage` is for whoever called us, `context` and `cause` are for whoever reads
 * the log. Thrown for faults only; an expected outcome is a value.
 */
export class CodedError extends Error {
  readonly code: ErrorCode;
  readonly publicMessage: string;
  readonly context: Readonly<Record<string, unknown>>;
  readonly errors?: readonly FieldFault[];
  readonly retryAfterSeconds?: number;

  constructor(code: ErrorCode, options: CodedErrorOptions = {}) {
    const message = options.message ?? errorCodes[code].title;
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CodedError";
    this.code = code;
    this.publicMessage = message;
    this.context = options.context ?? {};
    if (options.errors !== undefined) this.errors = options.errors;
    if (options.retryAfterSeconds !== undefined) this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** True for an error of ours, optionally with one given code. */
export function isCodedError(error: unknown, code?: ErrorCode): error is CodedError {
  return error instanceof CodedError && (code === undefined || error.code === code);
}

/** An error of ours as it is; anything else becomes INTERNAL with the original as `cause`, nothing of it in public. */
export function wrapUnknown(error: unknown): CodedError {
  return error instanceof CodedError ? error : new CodedError("INTERNAL", { cause: error });
}

/** Our error's message together with those of its causes, for one line in a terminal or a log. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  // Bounded, because a cause may by mistake point back at its own error.
  for (let depth = 0; depth < MAX_CAUSE_DEPTH && current !== undefined && current !== null; depth++) {
    const text = textOf(current);
    if (!parts.includes(text)) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ");
}

const MAX_CAUSE_DEPTH = 8;

function textOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message || thrown.name;
  if (typeof thrown === "string" || typeof thrown === "number") return String(thrown);
  return `thrown ${typeof thrown}`;
}
