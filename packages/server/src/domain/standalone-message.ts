import { defaultPoolCode } from "./dispatch-pool.ts";
import type { GroupKey, MessageId, PoolCode } from "./ids.ts";
import type { StandaloneMessage } from "./message.ts";
import { readTargetUrl } from "./target-url.ts";
import {
  briefly,
  faultOf,
  nameToldOf,
  nestedDeeper,
  type DecodedMessage,
  type MessageFault,
} from "./decoded-message.ts";

/**
 * Messages of users who have no platform, as they write them:
 *
 * `{ id, poolCode?, mediationType?, target, payload, headers?, messageGroupId?, deduplicationId?, highPriority?,
 *    secretRef?, traceparent? }`
 *
 * or the same in snake_case; a field given under both names is a fault unless both say the same. Null means absent, as
 * serialisers of other languages write it. The payload is any JSON value: a text is sent as it is, anything else as its
 * JSON text. `content-type` is taken from the headers, else told from the payload.
 */

export const standaloneLimits = {
  idMaxChars: 255,
  poolCodeMaxChars: 255,
  groupMaxChars: 255,
  targetMaxChars: 2_048,
  headersMax: 50,
  /** Beyond it recursive code runs out of stack, which takes a second to find out. */
  payloadMaxDepth: 500,
} as const;

/**
 * On a queue unknown fields are passed over, since older and other writers add their own; in a request they are faults.
 */
export type UnknownFields = "ignoreUnknownFields" | "refuseUnknownFields";

const snakeCase: Readonly<Record<string, string>> = {
  pool_code: "poolCode",
  mediation_type: "mediationType",
  message_group_id: "messageGroupId",
  deduplication_id: "deduplicationId",
  high_priority: "highPriority",
  secret_ref: "secretRef",
};

const fields: ReadonlySet<string> = new Set([
  "id",
  "target",
  "payload",
  "headers",
  "traceparent",
  ...Object.values(snakeCase),
]);

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;
/**
 * They frame the request or belong to one connection, so a user's own are left out: two readers must not see two
 * requests.
 */
const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** Anything but what could end a header line; the line's other characters are the receiver's business. */
const headerValue = /^[^\r\n\0]{0,8192}$/;
const hiddenCharacter = /[\s\p{Cc}]/u;
const contentTypeHeader = "content-type";

/**
 * Reads a message a user wrote; every fault is reported, not only the first. `lane` is the pool of one that names none.
 */
export function parseStandaloneMessage(
  value: unknown,
  unknown: UnknownFields,
  lane: PoolCode = defaultPoolCode,
): DecodedMessage {
  if (!isObject(value)) return malformed("MESSAGE_INVALID", {}, [faultOf("", "must be a JSON object")]);
  const faults: MessageFault[] = [];
  const input = withCamelCaseNames(value, unknown, faults);
  const mediationType = input["mediationType"];
  if (mediationType !== undefined && !isHttp(mediationType)) {
    const fault = faultOf("mediationType", `is ${briefly(mediationType)}; only HTTP is supported`);
    return malformed("MEDIATION_TYPE_UNSUPPORTED", input, [fault]);
  }
  const message = readMessage(input, lane, faults);
  return faults.length > 0 ? malformed("MESSAGE_INVALID", input, faults) : { kind: "message", message };
}

function readMessage(input: Fields, lane: PoolCode, faults: MessageFault[]): StandaloneMessage {
  const reader = { input, faults };
  const id = readText(reader, "id", standaloneLimits.idMaxChars);
  if (id === null && input["id"] === undefined) faults.push(faultOf("id", "is missing"));
  if (input["payload"] === undefined) faults.push(faultOf("payload", "is missing"));
  const isTooDeep = nestedDeeper(input["payload"], standaloneLimits.payloadMaxDepth);
  if (isTooDeep) faults.push(faultOf("payload", `must not be nested deeper than ${standaloneLimits.payloadMaxDepth}`));
  const payload = isTooDeep ? "" : payloadText(input["payload"]);
  const { headers, contentType } = readHeaders(input["headers"], faults);
  return {
    kind: "standalone",
    id: id as MessageId,
    lane: poolCodeOf(readText(reader, "poolCode", standaloneLimits.poolCodeMaxChars), lane),
    groupKey: readText(reader, "messageGroupId", standaloneLimits.groupMaxChars) as GroupKey | null,
    deduplicationId: readText(reader, "deduplicationId", standaloneLimits.idMaxChars),
    highPriority: readFlag(reader, "highPriority"),
    target: readTarget(input["target"], faults),
    payload,
    contentType: contentType ?? contentTypeOf(input["payload"], payload),
    headers,
    secretRef: readText(reader, "secretRef", standaloneLimits.idMaxChars),
    traceparent: readText(reader, "traceparent", standaloneLimits.idMaxChars),
  };
}

/** As a user would write it, without what is absent. */
export function encodeStandalone(message: StandaloneMessage): string {
  return JSON.stringify({
    id: message.id,
    poolCode: message.lane,
    mediationType: "HTTP",
    target: message.target,
    payload: message.payload,
    headers: { ...message.headers, [contentTypeHeader]: message.contentType },
    messageGroupId: message.groupKey ?? undefined,
    deduplicationId: message.deduplicationId ?? undefined,
    highPriority: message.highPriority || undefined,
    secretRef: message.secretRef ?? undefined,
    traceparent: message.traceparent ?? undefined,
  });
}

type Fields = Readonly<Record<string, unknown>>;

function withCamelCaseNames(value: Fields, unknown: UnknownFields, faults: MessageFault[]): Fields {
  const input: Record<string, unknown> = {};
  for (const [given, content] of Object.entries(value)) {
    const name = Object.hasOwn(snakeCase, given) ? (snakeCase[given] ?? given) : given;
    if (!fields.has(name)) {
      if (unknown === "refuseUnknownFields") faults.push(faultOf(given, "is not a field of a message"));
      continue;
    }
    // A payload of null is a payload; anywhere else null says that the field is absent.
    if (content === null && name !== "payload") continue;
    if (input[name] !== undefined && input[name] !== content) {
      faults.push(faultOf(given, `contradicts the other spelling of ${name}`));
    }
    input[name] = content;
  }
  return input;
}

function isHttp(mediationType: unknown): boolean {
  return typeof mediationType === "string" && mediationType.toUpperCase() === "HTTP";
}

/** `default` is what other FlowCatalyst builds call the default pool. */
function poolCodeOf(code: string | null, lane: PoolCode): PoolCode {
  if (code === null) return lane;
  return code === "default" ? defaultPoolCode : (code as PoolCode);
}

interface FieldReader {
  readonly input: Fields;
  readonly faults: MessageFault[];
}

function readText({ input, faults }: FieldReader, field: string, maxChars: number): string | null {
  const value = input[field];
  if (value === undefined) return null;
  if (typeof value === "string" && value.length > 0 && value.length <= maxChars) return value;
  faults.push(faultOf(field, `must be a text of 1 to ${maxChars} characters`));
  return null;
}

function readFlag({ input, faults }: FieldReader, field: string): boolean {
  const value = input[field];
  if (value === undefined || typeof value === "boolean") return value === true;
  faults.push(faultOf(field, "must be true or false"));
  return false;
}

function readTarget(value: unknown, faults: MessageFault[]): string {
  const fault = targetFault(value);
  if (fault !== null) faults.push(faultOf("target", fault));
  return typeof value === "string" ? value : "";
}

function targetFault(value: unknown): string | null {
  if (value === undefined) return "is missing";
  if (typeof value !== "string" || value.length > standaloneLimits.targetMaxChars) {
    return `must be a URL of at most ${standaloneLimits.targetMaxChars} characters`;
  }
  // Parsers of URLs drop line ends and trim spaces without a word; what is called should be what was written.
  if (hiddenCharacter.test(value)) return "must not have spaces or control characters";
  // Read as the router reads it when sending: what it could never send must not wait for retries.
  const reading = readTargetUrl(value);
  return reading.kind === "invalid" ? reading.detail : null;
}

function readHeaders(
  value: unknown,
  faults: MessageFault[],
): { headers: Record<string, string>; contentType?: string } {
  const headers: Record<string, string> = {};
  let contentType: string | undefined;
  if (value === undefined) return { headers };
  if (!isObject(value) || Object.keys(value).length > standaloneLimits.headersMax) {
    faults.push(faultOf("headers", `must be an object of at most ${standaloneLimits.headersMax} texts`));
    return { headers };
  }
  for (const [name, text] of Object.entries(value)) {
    if (connectionHeaders.has(name.toLowerCase())) continue;
    if (!headerName.test(name)) faults.push(faultOf(`headers.${name}`, "is not a header name"));
    else if (typeof text !== "string" || !headerValue.test(text)) {
      faults.push(faultOf(`headers.${name}`, "must be a text on one line"));
    } else if (name.toLowerCase() === contentTypeHeader) contentType = text;
    else headers[name] = text;
  }
  return { headers, contentType };
}

function payloadText(payload: unknown): string {
  return typeof payload === "string" ? payload : (JSON.stringify(payload) ?? "");
}

/** A text that begins as a JSON object or array does is taken for one: clients often send JSON as text. */
function contentTypeOf(payload: unknown, text: string): string {
  if (typeof payload !== "string" || /^\s*[[{]/.test(text)) return "application/json";
  return "text/plain; charset=utf-8";
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function malformed(
  code: "MESSAGE_INVALID" | "MEDIATION_TYPE_UNSUPPORTED",
  input: Fields,
  faults: readonly MessageFault[],
): DecodedMessage {
  const { id, poolCode } = input;
  return {
    kind: "malformed",
    code,
    id: nameToldOf(id) as MessageId | null,
    lane: nameToldOf(poolCode) as PoolCode | null,
    faults,
  };
}
