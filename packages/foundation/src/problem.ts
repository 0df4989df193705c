import type { CodedError, FieldFault } from "./coded-error.ts";
import { errorCodes, type ErrorCode } from "./error-codes.ts";

/** Content type of an error answer (RFC 9457, section 3). */
export const PROBLEM_CONTENT_TYPE = "application/problem+json";

/**
 * An error as it is sent: the members of RFC 9457 and ours. `message` repeats `detail` and `error` repeats `code` for
 * clients of other FlowCatalyst builds, which read those names.
 */
export type Problem = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance?: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly error: ErrorCode;
  readonly errors?: readonly FieldFault[];
};

/**
 * The problem document of an error. `type` is a relative reference (RFC 9457 allows it), `/errors/<CODE>`, so it
 * resolves against the server that sent it. `instance` is the path or id of the failed request.
 */
export function toProblem(error: CodedError, options: { readonly instance?: string } = {}): Problem {
  const { status, title } = errorCodes[error.code];
  return {
    type: `/errors/${error.code}`,
    title,
    status,
    detail: error.publicMessage,
    ...(options.instance === undefined ? {} : { instance: options.instance }),
    code: error.code,
    message: error.publicMessage,
    error: error.code,
    ...(error.errors === undefined ? {} : { errors: error.errors }),
  };
}
