/**
 * Reads CloudEvents 1.0: a JSON envelope (structured mode; a batch is an array of them), or binary mode, where `ce-*`
 * headers carry the attributes and the body is the data.
 *
 * Our own attributes travel as the extensions `messagegroup`, `correlationid`, `causationid`, `deduplicationid` and
 * `clientid`. `partitionkey` sets the group if none is given. Every other attribute is kept as an extension and passed
 * on. The sender's `id` is kept and given back in CloudEvents deliveries; source and id together are the deduplication
 * key unless the sender names one, because CloudEvents says that they identify the event.
 */

import { contentTypePattern, parseTime, wholeTextMessage, wireLimits } from "@flowcatalyst/contracts";
import type { DataKind } from "../../domain/event.ts";
import type { ClientId } from "../../domain/ids.ts";
import { holdsJsonStructure, jsonMaxDepth, tooDeep } from "../../http/json-text.ts";
import type { TaggedFault } from "../../http/validation.ts";
import { cloudEventDeduplicationId } from "./cloud-event-key.ts";
import { defaultDataContentType, exceeds, isJsonType } from "./event-draft.ts";
import type { DraftResult, ReadingContext } from "./event-draft.ts";

type Attributes = Readonly<Record<string, unknown>>;

/** Data as it stands on the wire of either mode. */
interface WireData {
  readonly kind: DataKind;
  readonly text: string | null;
}

/** One envelope of structured or batch mode. `path` is where it stands in the body. */
export function readCloudEvent(value: unknown, path: string, context: ReadingContext): DraftResult {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { kind: "invalid", faults: [{ path, message: "must be an object" }] };
  }
  const { data, data_base64: base64, ...attributes } = value as Attributes;
  const reader = new AttributeReader(attributes, path);
  const contentType = reader.optional("datacontenttype", wireLimits.contentTypeMaxChars);
  if (data !== undefined && data !== null && base64 !== undefined && base64 !== null) {
    reader.fault("data_base64", "must not stand beside data");
  }
  const wire = base64 === undefined || base64 === null ? jsonData(data, contentType ?? defaultDataContentType) : null;
  const decoded = wire ?? base64Data(base64, reader);
  const otherwise = wire === null ? binaryContentType : defaultDataContentType;
  return draftOf(reader, { data: decoded, contentType: contentType ?? otherwise, context });
}

/** A text is a JSON string here, never looked into: CloudEvents leaves no doubt about it. */
function jsonData(data: unknown, contentType: string): WireData {
  if (data === undefined || data === null) return { kind: "json", text: null };
  if (typeof data === "string" && !isJsonType(contentType)) return { kind: "text", text: data };
  return { kind: "json", text: JSON.stringify(data) };
}

const binaryContentType = "application/octet-stream";

/** Binary mode. Header values are percent-decoded, as the HTTP binding says. */
export function readBinaryCloudEvent(headers: Headers, body: Uint8Array, context: ReadingContext): DraftResult {
  const attributes: Record<string, unknown> = {};
  for (const [name, value] of headers) {
    if (name.startsWith("ce-") && name.length > 3) attributes[name.slice(3)] = percentDecoded(value);
  }
  const reader = new AttributeReader(attributes, "");
  const contentType = headers.get("content-type") ?? binaryContentType;
  const data = binaryData(body, contentType, reader);
  return draftOf(reader, { data, contentType, context });
}

interface DraftParts {
  readonly data: WireData;
  readonly contentType: string;
  readonly context: ReadingContext;
}

function draftOf(reader: AttributeReader, { data, contentType, context }: DraftParts): DraftResult {
  if (reader.value("specversion") !== "1.0") reader.fault("specversion", 'must be "1.0"');
  if (data.kind === "json" && data.text !== null && tooDeep(data.text)) {
    reader.fault("data", `must not be nested deeper than ${jsonMaxDepth}`);
  }
  if (data.text?.isWellFormed() === false) reader.fault("data", wholeTextMessage);
  if (contentType.length > wireLimits.contentTypeMaxChars || !contentTypePattern.test(contentType)) {
    reader.fault("datacontenttype", "must be visible ASCII, like application/json");
  }
  const id = reader.required("id", wireLimits.keyMaxChars);
  const source = reader.required("source", wireLimits.eventSourceMaxChars);
  const group = reader.optional("messagegroup", wireLimits.keyMaxChars);
  const partitionKey = reader.optional("partitionkey", wireLimits.keyMaxChars);
  const deduplicationId = reader.optional("deduplicationid", wireLimits.keyMaxChars);
  const draft = {
    clientId: reader.optional("clientid", wireLimits.clientIdMaxChars) as ClientId | null,
    type: reader.required("type", wireLimits.eventTypeMaxChars),
    source,
    subject: reader.optional("subject", wireLimits.eventSubjectMaxChars),
    timeMs: reader.time("time", context.nowMs),
    messageGroup: group ?? partitionKey,
    correlationId: reader.optional("correlationid", wireLimits.keyMaxChars),
    causationId: reader.optional("causationid", wireLimits.keyMaxChars),
    deduplicationId: deduplicationId ?? cloudEventDeduplicationId(source, id),
    senderId: id,
    dataContentType: contentType,
    dataSchema: reader.optional("dataschema", wireLimits.urlMaxChars),
    dataKind: data.kind,
    data: data.text,
    contextData: [],
    extensions: reader.extensions(),
  };
  if (reader.faults.length > 0) return { kind: "invalid", faults: reader.faults };
  if (data.text !== null && exceeds(data.text, context.dataMaxBytes)) {
    return { kind: "tooLarge", path: reader.at("data"), bytes: Buffer.byteLength(data.text) };
  }
  return { kind: "draft", draft };
}

function base64Data(value: unknown, reader: AttributeReader): WireData {
  if (typeof value === "string" && base64Pattern.test(value) && value.length % 4 === 0) {
    return { kind: "base64", text: value };
  }
  reader.fault("data_base64", "must be base64");
  return { kind: "base64", text: null };
}

const base64Pattern = /^[A-Za-z0-9+/]*={0,2}$/;

function binaryData(body: Uint8Array, contentType: string, reader: AttributeReader): WireData {
  if (body.byteLength === 0) return { kind: "json", text: null };
  const json = isJsonType(contentType);
  if (!json && !textTypePattern.test(contentType)) {
    return { kind: "base64", text: Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("base64") };
  }
  const text = decodedText(body);
  if (text === null) {
    reader.fault("data", "must be valid UTF-8");
    return { kind: "text", text: null };
  }
  if (!json) return { kind: "text", text };
  if (!holdsJson(text)) reader.fault("data", "must be JSON, as its content type says");
  return { kind: "json", text };
}

const textTypePattern = /^\s*(?:text\/|application\/(?:[\w.-]+\+)?xml\b)/i;

function holdsJson(text: string): boolean {
  if (holdsJsonStructure(text)) return true;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function decodedText(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

function percentDecoded(value: string): string {
  if (!value.includes("%")) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

const contextAttributes = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];
const ourAttributes = ["messagegroup", "correlationid", "causationid", "deduplicationid", "clientid"];
const knownAttributes = new Set([...contextAttributes, ...ourAttributes]);
const attributeNamePattern = /^[a-z0-9]{1,100}$/;

class AttributeReader {
  readonly #attributes: Attributes;
  readonly #path: string;
  readonly faults: TaggedFault[] = [];

  constructor(attributes: Attributes, path: string) {
    this.#attributes = attributes;
    this.#path = path;
  }

  at(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }

  fault(name: string, message: string): void {
    this.faults.push({ path: this.at(name), message });
  }

  value(name: string): unknown {
    return this.#attributes[name];
  }

  required(name: string, maxChars: number): string {
    const value = this.optional(name, maxChars);
    if (value === null && (this.#attributes[name] ?? null) === null) this.fault(name, "is required");
    return value ?? "";
  }

  optional(name: string, maxChars: number): string | null {
    const value = this.#attributes[name];
    if (value === undefined || value === null) return null;
    if (typeof value !== "string") this.fault(name, "must be a string");
    else if (value.length === 0 || value.length > maxChars) this.fault(name, `must have 1 to ${maxChars} characters`);
    else if (!value.isWellFormed()) this.fault(name, wholeTextMessage);
    else return value;
    return null;
  }

  time(name: string, nowMs: number): number {
    const value = this.#attributes[name];
    if (value === undefined || value === null) return nowMs;
    const ms = typeof value === "string" ? parseTime(value) : null;
    if (ms === null) this.fault(name, "must be an RFC 3339 time with a zone, like 2026-01-31T12:00:00.000Z");
    return ms ?? nowMs;
  }

  extensions(): Readonly<Record<string, string | number | boolean>> {
    const kept: Record<string, string | number | boolean> = {};
    let count = 0;
    for (const [name, value] of Object.entries(this.#attributes)) {
      if (knownAttributes.has(name) || value === null || value === undefined) continue;
      if (!attributeNamePattern.test(name)) this.fault(name, "must be named in lower-case letters and digits");
      else if (typeof value === "string" ? value.length > extensionMaxChars : !isScalar(value)) {
        this.fault(name, `must be a number, true, false or a text of at most ${extensionMaxChars} characters`);
      } else {
        kept[name] = value as string | number | boolean;
        count++;
      }
    }
    if (count > wireLimits.extensionsMaxItems) {
      this.faults.push({ path: this.#path, message: `must have at most ${wireLimits.extensionsMaxItems} extensions` });
    }
    return kept;
  }
}

const extensionMaxChars = 4_096;

function isScalar(value: unknown): boolean {
  return typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value));
}
