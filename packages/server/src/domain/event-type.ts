import type { ClientId, EventTypeId } from "./ids.ts";

export type SchemaStatus = "FINALISING" | "CURRENT" | "DEPRECATED";

/** One version of the JSON Schema (2020-12) of an event type's data. At most one version is CURRENT. */
export interface SchemaVersion {
  /** MAJOR.MINOR */
  readonly version: string;
  readonly status: SchemaStatus;
  /** JSON text of the schema. */
  readonly schema: string;
  readonly createdAtMs: number;
}

/** A registered event type: `application:subdomain:aggregate:event`. */
export interface EventType {
  readonly id: EventTypeId;
  readonly code: string;
  readonly name: string;
  readonly description: string | null;
  readonly clientId: ClientId | null;
  readonly status: "ACTIVE" | "ARCHIVED";
  readonly schemas: readonly SchemaVersion[];
  readonly version: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}
