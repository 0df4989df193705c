import { CodedError } from "@flowcatalyst/foundation";
import { wireLimits } from "@flowcatalyst/contracts";
import type { EventType, SchemaStatus, SchemaVersion } from "../../domain/event-type.ts";
import { notFound } from "../answers.ts";

/**
 * Schema versions of an event type: FINALISING (may still be replaced) -> CURRENT (events are held to it; at most one)
 * -> DEPRECATED. A version never goes back.
 */

const versionsMax = 100;
/** Of all versions together: they are read, listed and written back as one. */
const versionsMaxBytes = 1_048_576;
export const firstVersion = "1.0";

/** Throws DUPLICATE if the version is past FINALISING, STATE_CONFLICT and PAYLOAD_TOO_LARGE when there are too many. */
export function withSchema(eventType: EventType, added: SchemaVersion): EventType {
  const known = eventType.schemas.find(({ version }) => version === added.version);
  if (known !== undefined && known.status !== "FINALISING") {
    throw new CodedError("DUPLICATE", { message: `Version ${added.version} is ${known.status} already.` });
  }
  const others = eventType.schemas.filter(({ version }) => version !== added.version);
  if (others.length >= versionsMax) {
    throw new CodedError("STATE_CONFLICT", { message: `An event type has at most ${versionsMax} schema versions.` });
  }
  const schemas = [...others, added].toSorted(byVersion);
  if (schemas.reduce((bytes, { schema }) => bytes + Buffer.byteLength(schema), 0) > versionsMaxBytes) {
    const message = `The schemas of an event type have at most ${versionsMaxBytes} bytes together.`;
    throw new CodedError("PAYLOAD_TOO_LARGE", { message });
  }
  return { ...eventType, schemas };
}

/** FINALISING -> CURRENT; the version that was CURRENT becomes DEPRECATED. */
export function withFinalised(eventType: EventType, version: string): EventType {
  const { status } = versionOf(eventType, version);
  if (status === "CURRENT") return eventType;
  if (status === "DEPRECATED") throw new CodedError("STATE_CONFLICT", { message: `Version ${version} is DEPRECATED.` });
  const next = (schema: SchemaVersion): SchemaStatus => {
    if (schema.version === version) return "CURRENT";
    return schema.status === "CURRENT" ? "DEPRECATED" : schema.status;
  };
  return { ...eventType, schemas: eventType.schemas.map((schema) => ({ ...schema, status: next(schema) })) };
}

export function withDeprecated(eventType: EventType, version: string): EventType {
  if (versionOf(eventType, version).status === "DEPRECATED") return eventType;
  const schemas = eventType.schemas.map((schema) =>
    schema.version === version ? { ...schema, status: "DEPRECATED" as const } : schema,
  );
  return { ...eventType, schemas };
}

/** The schema as text. Throws SCHEMA_INVALID if it is none, PAYLOAD_TOO_LARGE. */
export function schemaText(given: unknown): string {
  const text = typeof given === "string" ? given : JSON.stringify(given);
  if (Buffer.byteLength(text) > wireLimits.schemaMaxBytes) {
    throw new CodedError("PAYLOAD_TOO_LARGE", { message: `A schema has at most ${wireLimits.schemaMaxBytes} bytes.` });
  }
  try {
    JSON.parse(text);
    return text;
  } catch (cause) {
    const errors = [{ path: "schema", message: "must be JSON" }];
    throw new CodedError("SCHEMA_INVALID", { message: "The schema is not JSON.", errors, cause });
  }
}

function versionOf(eventType: EventType, version: string): SchemaVersion {
  const schema = eventType.schemas.find((candidate) => candidate.version === version);
  if (schema === undefined) throw notFound("schema version", version);
  return schema;
}

function byVersion(a: SchemaVersion, b: SchemaVersion): number {
  const [aMajor = 0, aMinor = 0] = a.version.split(".").map(Number);
  const [bMajor = 0, bMinor = 0] = b.version.split(".").map(Number);
  return aMajor - bMajor || aMinor - bMinor;
}
