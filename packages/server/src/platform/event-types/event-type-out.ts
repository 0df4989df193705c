import type { EventTypeOut } from "@flowcatalyst/contracts";
import { isoTime } from "@flowcatalyst/foundation";
import type { EventType } from "../../domain/event-type.ts";

/** An event type as the API shows it; its code also in its four parts. */
export function eventTypeOut(eventType: EventType): EventTypeOut {
  const [application = "", subdomain = "", aggregate = "", event = ""] = eventType.code.split(":");
  return {
    id: eventType.id,
    code: eventType.code,
    application,
    subdomain,
    aggregate,
    event,
    name: eventType.name,
    description: eventType.description,
    clientId: eventType.clientId,
    status: eventType.status,
    schemas: eventType.schemas.map(({ version, status, schema, createdAtMs }) => ({
      version,
      status,
      schema: JSON.parse(schema) as unknown,
      createdAt: isoTime(createdAtMs),
    })),
    version: eventType.version,
    createdAt: isoTime(eventType.createdAtMs),
    updatedAt: isoTime(eventType.updatedAtMs),
  };
}
