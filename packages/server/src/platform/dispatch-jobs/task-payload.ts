import { wholeTextMessage, wireLimits } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import { jsonMaxDepth, parseJson, tooDeep } from "../../http/json-text.ts";
import { validationError } from "../../http/validation.ts";

export interface TaskPayload {
  readonly payload: string;
  readonly contentType: string;
}

const jsonContentType = "application/json";
const textContentType = "text/plain; charset=utf-8";

/**
 * What a task sends: text goes out as it is, anything else as JSON. `path` is where it stands in the body. Throws
 * PAYLOAD_TOO_LARGE, VALIDATION_FAILED.
 */
export function taskPayload(value: unknown, path: string, contentType: string | null): TaskPayload {
  const isText = typeof value === "string";
  const payload = isText ? value : JSON.stringify(value);
  if (Buffer.byteLength(payload) > wireLimits.eventDataMaxBytes) {
    const message = `must be at most ${wireLimits.eventDataMaxBytes} bytes`;
    throw new CodedError("PAYLOAD_TOO_LARGE", { message: `${path} ${message}.`, errors: [{ path, message }] });
  }
  if (!payload.isWellFormed()) throw validationError([{ path, message: wholeTextMessage }]);
  if (!isText && tooDeep(payload)) {
    throw validationError([{ path, message: `must not be nested deeper than ${jsonMaxDepth}` }]);
  }
  return { payload, contentType: contentType ?? (!isText || holdsJson(payload) ? jsonContentType : textContentType) };
}

function holdsJson(text: string): boolean {
  try {
    parseJson(text);
    return true;
  } catch {
    return false;
  }
}
