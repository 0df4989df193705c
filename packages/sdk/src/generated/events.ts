// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import { pathSegment, type CallOptions, type KeyedOptions, type Send } from "../operation.ts";
import { itemsByCursor, itemsByNumber } from "../pages.ts";
import type { DispatchJob, DispatchJobList, FilterOption, ItemsAnswer } from "./shared.ts";

export interface AcceptedEvent {
  readonly id: string;
  readonly type: string;
  readonly source: string;
  readonly subject: string | null;
  readonly time: string;
  readonly messageGroup: string | null;
  readonly correlationId: string | null;
  readonly deduplicationId: string | null;
  readonly createdAt: string;
  /** Known by its deduplicationId: this is the first event. */
  readonly duplicate: boolean;
}

export interface ContextDatum {
  readonly key: string;
  readonly value: string;
}

export interface CreateEvent {
  /** Any text; order.created works at once. Four segments with colons when registered. */
  readonly type: string;
  readonly source: string;
  readonly specVersion?: "1.0" | null;
  readonly subject?: string | null;
  readonly time?: string | null;
  /** Any JSON. A string that holds a JSON object or array is stored parsed. At most 256 KiB. */
  readonly data?: unknown;
  readonly dataContentType?: string | null;
  readonly dataSchema?: string | null;
  /** Order is kept among events of one group. */
  readonly messageGroup?: string | null;
  readonly correlationId?: string | null;
  readonly causationId?: string | null;
  /** The same one again within 168 h answers the first event. */
  readonly deduplicationId?: string | null;
  readonly clientId?: string | null;
  readonly contextData?: readonly ContextDatum[] | null;
}

export interface CreateEventBatch {
  readonly events: readonly CreateEvent[];
}

export interface CreateEventItems {
  readonly items: readonly CreateEvent[];
}

export interface Event {
  readonly id: string;
  readonly specVersion: "1.0";
  readonly type: string;
  readonly source: string;
  readonly subject: string | null;
  readonly time: string;
  /** Text if dataContentType is not JSON; absent if binary. */
  readonly data?: unknown;
  /** Binary data. */
  readonly dataBase64?: string;
  readonly dataContentType: string;
  readonly dataSchema: string | null;
  readonly messageGroup: string | null;
  readonly correlationId: string | null;
  readonly causationId: string | null;
  readonly deduplicationId: string | null;
  /** The id a CloudEvents sender gave. */
  readonly senderId: string | null;
  readonly clientId: string | null;
  readonly contextData: readonly ContextDatum[];
  readonly extensions: Readonly<Record<string, string | number | boolean>>;
  readonly createdAt: string;
}

export interface EventBatchAnswer {
  readonly count: number;
  readonly duplicateCount: number;
  readonly events: readonly AcceptedEvent[];
}

export interface EventFilterOptions {
  readonly clients: readonly FilterOption[];
  readonly applications: readonly FilterOption[];
  readonly subdomains: readonly FilterOption[];
  readonly aggregates: readonly FilterOption[];
  readonly types: readonly FilterOption[];
}

export interface EventSearchPage {
  readonly items: readonly Event[];
  readonly page: number;
  readonly size: number;
  /** Exact to 10,000. */
  readonly totalItems: number;
  readonly totalPages: number;
  /** True when there are more than totalItems. */
  readonly totalIsLowerBound?: boolean;
}

export interface Timeline {
  readonly eventId: string;
  /** In time order. */
  readonly entries: readonly TimelineEntry[];
  /** True when the event has more jobs or attempts than are shown. */
  readonly truncated: boolean;
}

export interface TimelineEntry {
  readonly at: string;
  readonly kind: "ACCEPTED" | "MATCHED" | "NOT_MATCHED" | "QUEUED" | "ATTEMPT" | "FINAL";
  readonly message: string;
  readonly jobId?: string;
  readonly subscriptionId?: string;
  readonly status?: string;
  readonly attempt?: number;
  readonly outcome?: string;
  readonly statusCode?: number;
  readonly durationMs?: number;
}

/** Query of `GET /api/events/{id}/jobs`: Dispatch jobs of an event, oldest first. */
export interface ListEventJobsQuery {
  readonly limit?: number;
  readonly cursor?: string;
}

/** Query of `GET /api/bff/events`: Search events, newest first. */
export interface SearchEventsQuery {
  readonly page?: number;
  readonly size?: number;
  readonly clientId?: string | readonly string[];
  readonly type?: string | readonly string[];
  readonly source?: string;
  readonly subject?: string;
  readonly correlationId?: string;
  readonly messageGroup?: string;
  readonly timeAfter?: string;
  readonly timeBefore?: string;
  readonly q?: string;
}

/**
 * Query of `GET /api/bff/events/filter-options`: Values to choose from, each list narrowed by the
 * choices before it.
 */
export interface GetEventFilterOptionsQuery {
  readonly client?: string;
  readonly application?: string;
  readonly subdomain?: string;
  readonly aggregate?: string;
}

/** Operations on `events`, one method each. */
export interface EventsApi {
  /** Publish an event. `POST /api/events` */
  create(body: CreateEvent, options?: KeyedOptions): Promise<Event>;

  /** Publish up to 1,000 events. `POST /api/events/batch` */
  createBatch(body: CreateEventBatch, options?: KeyedOptions): Promise<EventBatchAnswer>;

  /** Publish up to 1,000 events. `POST /api/events/batch` */
  createItems(body: CreateEventItems, options?: KeyedOptions): Promise<ItemsAnswer>;

  /** Read an event. `GET /api/events/{id}` */
  get(id: string, options?: CallOptions): Promise<Event>;

  /** Dispatch jobs of an event, oldest first. `GET /api/events/{id}/jobs` */
  jobs(id: string, query?: ListEventJobsQuery, options?: CallOptions): Promise<DispatchJobList>;
  /** Every item of `jobs`, page by page as they are asked for. */
  allJobs(id: string, query?: ListEventJobsQuery, options?: CallOptions): AsyncGenerator<DispatchJob, void, undefined>;

  /** What happened to an event, in time order. `GET /api/events/{id}/timeline` */
  timeline(id: string, options?: CallOptions): Promise<Timeline>;

  /** Search events, newest first. `GET /api/bff/events` */
  search(query?: SearchEventsQuery, options?: CallOptions): Promise<EventSearchPage>;
  /** Every item of `search`, page by page as they are asked for. */
  searchAll(query?: SearchEventsQuery, options?: CallOptions): AsyncGenerator<Event, void, undefined>;

  /**
   * Values to choose from, each list narrowed by the choices before it.
   * `GET /api/bff/events/filter-options`
   */
  filterOptions(query?: GetEventFilterOptionsQuery, options?: CallOptions): Promise<EventFilterOptions>;
}

/** Makes them of something that sends. */
export function eventsApi(send: Send): EventsApi {
  const api: EventsApi = {
    create: (body, options) => send({ method: "POST", path: "/api/events", body, keyed: true, options }),
    createBatch: (body, options) => send({ method: "POST", path: "/api/events/batch", body, keyed: true, options }),
    createItems: (body, options) => send({ method: "POST", path: "/api/events/batch", body, keyed: true, options }),
    get: (id, options) => send({ method: "GET", path: `/api/events/${pathSegment(id)}`, options }),
    jobs: (id, query, options) =>
      send({ method: "GET", path: `/api/events/${pathSegment(id)}/jobs`, query: { ...query }, options }),
    allJobs: (id, query, options) =>
      itemsByCursor((cursor) => api.jobs(id, { ...query, cursor }, options), query?.cursor),
    timeline: (id, options) => send({ method: "GET", path: `/api/events/${pathSegment(id)}/timeline`, options }),
    search: (query, options) => send({ method: "GET", path: "/api/bff/events", query: { ...query }, options }),
    searchAll: (query, options) => itemsByNumber((page) => api.search({ ...query, page }, options), query?.page),
    filterOptions: (query, options) =>
      send({ method: "GET", path: "/api/bff/events/filter-options", query: { ...query }, options }),
  };
  return api;
}
