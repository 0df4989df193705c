// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import {
  pathSegment,
  type CallOptions,
  type ChangeOptions,
  type KeyedChangeOptions,
  type KeyedOptions,
  type Send,
} from "../operation.ts";
import { itemsByCursor } from "../pages.ts";

export interface CreateEventType {
  readonly code: string;
  readonly name?: string | null;
  readonly description?: string | null;
  readonly clientId?: string | null;
  /** Becomes version 1.0, FINALISING. */
  readonly schema?: Readonly<Record<string, unknown>> | boolean | string | null;
}

export interface CreateSchemaVersion {
  readonly version: string;
  readonly schema: Readonly<Record<string, unknown>> | boolean | string;
}

export interface EventType {
  readonly id: string;
  readonly code: string;
  readonly application: string;
  readonly subdomain: string;
  readonly aggregate: string;
  readonly event: string;
  readonly name: string;
  readonly description: string | null;
  readonly clientId: string | null;
  readonly status: "ACTIVE" | "ARCHIVED";
  readonly schemas: readonly SchemaVersion[];
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface EventTypeList {
  readonly items: readonly EventType[];
  /** Absent on the last page. Opaque. */
  readonly nextCursor?: string;
  /** Given where counting is cheap. */
  readonly total?: number;
}

/** At most one version is CURRENT; events are held to that one. */
export interface SchemaVersion {
  readonly version: string;
  readonly status: "FINALISING" | "CURRENT" | "DEPRECATED";
  readonly schema: unknown;
  readonly createdAt: string;
}

export interface UpdateEventType {
  readonly name?: string;
  readonly description?: string | null;
}

/** Query of `GET /api/event-types`: List event types. */
export interface ListEventTypesQuery {
  readonly limit?: number;
  readonly cursor?: string;
  readonly application?: string;
  readonly status?: "ACTIVE" | "ARCHIVED";
}

/** Operations on `eventTypes`, one method each. */
export interface EventTypesApi {
  /** Register an event type. `POST /api/event-types` */
  create(body: CreateEventType, options?: KeyedOptions): Promise<EventType>;

  /** List event types. `GET /api/event-types` */
  list(query?: ListEventTypesQuery, options?: CallOptions): Promise<EventTypeList>;
  /** Every item of `list`, page by page as they are asked for. */
  all(query?: ListEventTypesQuery, options?: CallOptions): AsyncGenerator<EventType, void, undefined>;

  /** Read an event type by its code. `GET /api/event-types/by-code/{code}` */
  getByCode(code: string, options?: CallOptions): Promise<EventType>;

  /** Read an event type. `GET /api/event-types/{id}` */
  get(id: string, options?: CallOptions): Promise<EventType>;

  /** Change name and description. `PUT /api/event-types/{id}` */
  replace(id: string, body: UpdateEventType, options?: ChangeOptions): Promise<EventType>;

  /** Change name and description; what is absent stays. `PATCH /api/event-types/{id}` */
  update(id: string, body: UpdateEventType, options?: ChangeOptions): Promise<EventType>;

  /** Remove an event type; its events stay, and more may come. `DELETE /api/event-types/{id}` */
  remove(id: string, options?: CallOptions): Promise<void>;

  /** Archive an event type: its schema is no longer enforced. `POST /api/event-types/{id}/archive` */
  archive(id: string, options?: KeyedChangeOptions): Promise<EventType>;

  /** Add a schema version, or replace one that is FINALISING. `POST /api/event-types/{id}/schemas` */
  addSchema(id: string, body: CreateSchemaVersion, options?: KeyedChangeOptions): Promise<EventType>;

  /**
   * Make a schema version CURRENT; the one before becomes DEPRECATED.
   * `POST /api/event-types/{id}/schemas/{version}/finalise`
   */
  finaliseSchema(id: string, version: string, options?: KeyedChangeOptions): Promise<EventType>;

  /** Make a schema version DEPRECATED. `POST /api/event-types/{id}/schemas/{version}/deprecate` */
  deprecateSchema(id: string, version: string, options?: KeyedChangeOptions): Promise<EventType>;
}

/** Makes them of something that sends. */
export function eventTypesApi(send: Send): EventTypesApi {
  const api: EventTypesApi = {
    create: (body, options) => send({ method: "POST", path: "/api/event-types", body, keyed: true, options }),
    list: (query, options) => send({ method: "GET", path: "/api/event-types", query: { ...query }, options }),
    all: (query, options) => itemsByCursor((cursor) => api.list({ ...query, cursor }, options), query?.cursor),
    getByCode: (code, options) =>
      send({ method: "GET", path: `/api/event-types/by-code/${pathSegment(code)}`, options }),
    get: (id, options) => send({ method: "GET", path: `/api/event-types/${pathSegment(id)}`, options }),
    replace: (id, body, options) => send({ method: "PUT", path: `/api/event-types/${pathSegment(id)}`, body, options }),
    update: (id, body, options) =>
      send({ method: "PATCH", path: `/api/event-types/${pathSegment(id)}`, body, options }),
    remove: (id, options) => send({ method: "DELETE", path: `/api/event-types/${pathSegment(id)}`, options }),
    archive: (id, options) =>
      send({ method: "POST", path: `/api/event-types/${pathSegment(id)}/archive`, body: {}, keyed: true, options }),
    addSchema: (id, body, options) =>
      send({ method: "POST", path: `/api/event-types/${pathSegment(id)}/schemas`, body, keyed: true, options }),
    finaliseSchema: (id, version, options) =>
      send({
        method: "POST",
        path: `/api/event-types/${pathSegment(id)}/schemas/${pathSegment(version)}/finalise`,
        body: {},
        keyed: true,
        options,
      }),
    deprecateSchema: (id, version, options) =>
      send({
        method: "POST",
        path: `/api/event-types/${pathSegment(id)}/schemas/${pathSegment(version)}/deprecate`,
        body: {},
        keyed: true,
        options,
      }),
  };
  return api;
}
