/**
 * Reads an event in our own JSON, by hand.
 *
 * Says the same as `createEventSchema` of the contracts, which documents it; a property test holds both to one answer.
 * By hand because this is the hottest input there is: with the schema one event costs several times as much as parsing
 * its JSON. What is checked stands in one place per member, members that are null count as absent, and unknown ones are
 * refused by name.
 *
 * `data` becomes the text that is delivered. A string that holds a JSON object or array is taken as that JSON, as
 * existing clients send it, unless `dataContentType` says that the data is not JSON: then a string is the data itself.
 */

import { contentTypePattern, parseTime, wholeTextMessage, wireLimits } from "@flowcatalyst/contracts";
import type { ContextDatum, DataKind } from "../../domain/event.ts";
import type { ClientId } from "../../domain/ids.ts";
import { holdsJsonStructure, jsonMaxDepth, tooDeep } from "../../http/json-text.ts";
import { unknownFieldMessage, type TaggedFault } from "../../http/validation.ts";
import { defaultDataContentType, exceeds, isJsonType } from "./event-draft.ts";
import type { DraftResult, ReadingContext } from "./event-draft.ts";

type Fields = Readonly<Record<string, unknown>>;

const noContext: readonly ContextDatum[] = [];
const noExtensions = {};

/** `path` is where the event stands in the body: empty, or `events[3]`. */
export function readOwnEvent(value: unknown, path: string, context: ReadingContext): DraftResult {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { kind: "invalid", faults: [{ path, message: "must be an object" }] };
  }
  const fields = value as Fields;
  const reader = new FieldReader(path);
  for (const name in fields) if (!knownNames.has(name)) reader.unknown(name);
  const dataContentType = reader.contentType(fields);
  const data = dataOf(fields["data"], dataContentType ?? defaultDataContentType);
  if (data.text !== null && tooDeep(data.text)) reader.fault("data", `must not be nested deeper than ${jsonMaxDepth}`);
  if (data.text?.isWellFormed() === false) reader.fault("data", wholeTextMessage);
  const specVersion = fields["specVersion"];
  if (specVersion !== undefined && specVersion !== null && specVersion !== "1.0") {
    reader.fault("specVersion", 'must be "1.0"');
  }
  const draft = {
    clientId: reader.optional(fields, "clientId", wireLimits.clientIdMaxChars) as ClientId | null,
    type: reader.required(fields, "type", wireLimits.eventTypeMaxChars),
    source: reader.required(fields, "source", wireLimits.eventSourceMaxChars),
    subject: reader.optionalOrEmpty(fields, "subject", wireLimits.eventSubjectMaxChars),
    timeMs: reader.time(fields["time"], context.nowMs),
    messageGroup: reader.optional(fields, "messageGroup", wireLimits.keyMaxChars),
    correlationId: reader.optional(fields, "correlationId", wireLimits.keyMaxChars),
    causationId: reader.optional(fields, "causationId", wireLimits.keyMaxChars),
    deduplicationId: reader.optional(fields, "deduplicationId", wireLimits.keyMaxChars),
    senderId: null,
    dataContentType: dataContentType ?? defaultDataContentType,
    dataSchema: reader.optional(fields, "dataSchema", wireLimits.urlMaxChars),
    dataKind: data.kind,
    data: data.text,
    contextData: reader.contextData(fields["contextData"]),
    extensions: noExtensions,
  };
  if (reader.faults !== null) return { kind: "invalid", faults: reader.faults };
  if (data.text !== null && exceeds(data.text, context.dataMaxBytes)) {
    return { kind: "tooLarge", path: reader.at("data"), bytes: Buffer.byteLength(data.text) };
  }
  return { kind: "draft", draft };
}

const knownNames = new Set([
  "type",
  "source",
  "specVersion",
  "subject",
  "time",
  "data",
  "dataContentType",
  "dataSchema",
  "messageGroup",
  "correlationId",
  "causationId",
  "deduplicationId",
  "clientId",
  "contextData",
]);

interface EventData {
  readonly kind: DataKind;
  readonly text: string | null;
}

/** The text to deliver, and what it is. */
function dataOf(data: unknown, contentType: string): EventData {
  if (data === undefined || data === null) return { kind: "json", text: null };
  if (typeof data !== "string") return { kind: "json", text: JSON.stringify(data) };
  if (!isJsonType(contentType)) return { kind: "text", text: data };
  return { kind: "json", text: holdsJsonStructure(data) ? data : JSON.stringify(data) };
}

class FieldReader {
  readonly #path: string;
  faults: TaggedFault[] | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  at(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }

  fault(name: string, message: string): void {
    (this.faults ??= []).push({ path: this.at(name), message });
  }

  unknown(name: string): void {
    (this.faults ??= []).push({ path: this.at(name), message: unknownFieldMessage, unknownField: true });
  }

  required(fields: Fields, name: string, maxChars: number): string {
    const value = fields[name];
    if (isText(value, maxChars)) return value;
    this.fault(name, value === undefined ? "is required" : textFault(value, maxChars));
    return "";
  }

  optional(fields: Fields, name: string, maxChars: number): string | null {
    const value = fields[name];
    if (value === undefined || value === null) return null;
    if (isText(value, maxChars)) return value;
    this.fault(name, textFault(value, maxChars));
    return null;
  }

  contentType(fields: Fields): string | null {
    const value = this.optional(fields, "dataContentType", wireLimits.contentTypeMaxChars);
    if (value === null || value === defaultDataContentType || contentTypePattern.test(value)) return value;
    this.fault("dataContentType", "must be visible ASCII, like application/json");
    return null;
  }

  optionalOrEmpty(fields: Fields, name: string, maxChars: number): string | null {
    return fields[name] === "" ? null : this.optional(fields, name, maxChars);
  }

  time(value: unknown, nowMs: number): number {
    if (value === undefined || value === null) return nowMs;
    const ms = typeof value === "string" ? parseTime(value) : null;
    if (ms !== null) return ms;
    this.fault("time", "must be an RFC 3339 time with a zone, like 2026-01-31T12:00:00.000Z");
    return nowMs;
  }

  contextData(value: unknown): readonly ContextDatum[] {
    if (value === undefined || value === null) return noContext;
    if (!Array.isArray(value)) {
      this.fault("contextData", "must be an array");
      return noContext;
    }
    if (value.length > wireLimits.contextDataMaxItems) {
      this.fault("contextData", `must have at most ${wireLimits.contextDataMaxItems} items`);
      return noContext;
    }
    return value.map((item: unknown, index) => this.#contextDatum(item, `contextData[${index}]`));
  }

  #contextDatum(item: unknown, name: string): ContextDatum {
    if (typeof item !== "object" || item === null || Array.isArray(item)) {
      this.fault(name, "must be an object with key and value");
      return { key: "", value: "" };
    }
    const { key, value, ...others } = item as Fields;
    for (const other of Object.keys(others)) this.unknown(`${name}.${other}`);
    if (typeof key !== "string" || key.length === 0 || key.length > wireLimits.contextKeyMaxChars) {
      this.fault(`${name}.key`, key === undefined ? "is required" : textFault(key, wireLimits.contextKeyMaxChars));
    }
    if (typeof value !== "string" || value.length > wireLimits.contextValueMaxChars) {
      this.fault(
        `${name}.value`,
        value === undefined ? "is required" : textFault(value, wireLimits.contextValueMaxChars),
      );
    }
    return { key: String(key), value: String(value) };
  }
}

function isText(value: unknown, maxChars: number): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= maxChars && value.isWellFormed();
}

function textFault(value: unknown, maxChars: number): string {
  if (typeof value !== "string") return "must be a string";
  if (!value.isWellFormed()) return wholeTextMessage;
  return value.length === 0 ? "must not be empty" : `must have at most ${maxChars} characters`;
}
