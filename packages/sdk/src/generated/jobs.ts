// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import { pathSegment, type CallOptions, type KeyedOptions, type Send } from "../operation.ts";
import { itemsByCursor, itemsByNumber } from "../pages.ts";
import type { DispatchJob, DispatchJobList, DispatchMode, FilterOption, ItemsAnswer, RetryIn } from "./shared.ts";

export interface Attempt {
  readonly id: string;
  readonly generation: number;
  readonly number: number;
  readonly startedAt: string;
  readonly durationMs: number;
  readonly outcome: string;
  readonly statusCode: number | null;
  /** Counted against the retry budget. */
  readonly burnt: boolean;
  readonly error: string | null;
  /** At most 5,000 characters. */
  readonly responseBody: string | null;
  readonly signed: boolean;
}

export interface AttemptList {
  readonly items: readonly Attempt[];
  /** Absent on the last page. Opaque. */
  readonly nextCursor?: string;
  /** Given where counting is cheap. */
  readonly total?: number;
}

export interface CreateDispatchJob {
  readonly targetUrl: string;
  /** Text is sent as it is; anything else as JSON. At most 256 KiB. */
  readonly payload: unknown;
  readonly contentType?: string | null;
  readonly eventId?: string | null;
  readonly subscriptionId?: string | null;
  readonly code?: string | null;
  readonly clientId?: string | null;
  readonly messageGroup?: string | null;
  readonly mode?: DispatchMode | null;
  readonly dispatchPoolId?: string | null;
  readonly scheduledFor?: string | null;
  readonly idempotencyKey?: string | null;
  readonly headers?: Readonly<Record<string, string>> | null;
  readonly metadata?: Readonly<Record<string, string>> | null;
  readonly timeoutSeconds?: number | null;
  readonly maxRetries?: number | null;
  readonly retry?: RetryIn | null;
  readonly maxAgeSeconds?: number | null;
  /** Which secret signs; else the client's. */
  readonly secretRef?: string | null;
  readonly legacySignature?: boolean | null;
}

export interface CreateDispatchJobBatch {
  readonly jobs: readonly CreateDispatchJob[];
}

export interface CreateDispatchJobItems {
  readonly items: readonly CreateDispatchJob[];
}

export interface DispatchJobBatchAnswer {
  readonly count: number;
  readonly duplicateCount: number;
  readonly jobs: readonly DispatchJob[];
}

export interface DispatchJobFilterOptions {
  readonly statuses: readonly FilterOption[];
  readonly subscriptions: readonly FilterOption[];
  readonly dispatchPools: readonly FilterOption[];
  readonly modes: readonly FilterOption[];
}

export interface DispatchJobSearchPage {
  readonly items: readonly DispatchJob[];
  readonly page: number;
  readonly size: number;
  /** Exact to 10,000. */
  readonly totalItems: number;
  readonly totalPages: number;
  /** True when there are more than totalItems. */
  readonly totalIsLowerBound?: boolean;
}

/** Query of `GET /api/dispatch/jobs`: List jobs, newest first. */
export interface ListDispatchJobsQuery {
  readonly limit?: number;
  readonly cursor?: string;
  readonly status?: string | readonly string[];
  readonly subscriptionId?: string;
  readonly eventId?: string;
  readonly code?: string;
  readonly clientId?: string | readonly string[];
  readonly dispatchPoolId?: string;
  readonly messageGroup?: string;
  readonly createdAfter?: string;
  readonly createdBefore?: string;
}

/** Query of `GET /api/dispatch/jobs/{id}/attempts`: Delivery attempts of a job, newest first. */
export interface ListAttemptsQuery {
  readonly limit?: number;
  readonly cursor?: string;
}

/** Query of `GET /api/bff/dispatch-jobs`: Search dispatch jobs, newest first. */
export interface SearchDispatchJobsQuery {
  readonly page?: number;
  readonly size?: number;
  readonly status?: string | readonly string[];
  readonly subscriptionId?: string;
  readonly eventId?: string;
  readonly code?: string;
  readonly clientId?: string | readonly string[];
  readonly dispatchPoolId?: string;
  readonly messageGroup?: string;
  readonly createdAfter?: string;
  readonly createdBefore?: string;
}

/** Operations on `jobs`, one method each. */
export interface JobsApi {
  /** Create a delivery that belongs to no subscription. `POST /api/dispatch/jobs` */
  create(body: CreateDispatchJob, options?: KeyedOptions): Promise<DispatchJob>;

  /** List jobs, newest first. `GET /api/dispatch/jobs` */
  list(query?: ListDispatchJobsQuery, options?: CallOptions): Promise<DispatchJobList>;
  /** Every item of `list`, page by page as they are asked for. */
  all(query?: ListDispatchJobsQuery, options?: CallOptions): AsyncGenerator<DispatchJob, void, undefined>;

  /** Create up to 500 jobs. `POST /api/dispatch/jobs/batch` */
  createBatch(body: CreateDispatchJobBatch, options?: KeyedOptions): Promise<DispatchJobBatchAnswer>;

  /** Create up to 500 jobs. `POST /api/dispatch/jobs/batch` */
  createItems(body: CreateDispatchJobItems, options?: KeyedOptions): Promise<ItemsAnswer>;

  /** Read a job. `GET /api/dispatch/jobs/{id}` */
  get(id: string, options?: CallOptions): Promise<DispatchJob>;

  /** Delivery attempts of a job, newest first. `GET /api/dispatch/jobs/{id}/attempts` */
  attempts(id: string, query?: ListAttemptsQuery, options?: CallOptions): Promise<AttemptList>;
  /** Every item of `attempts`, page by page as they are asked for. */
  allAttempts(id: string, query?: ListAttemptsQuery, options?: CallOptions): AsyncGenerator<Attempt, void, undefined>;

  /** Try a final job again, with a fresh budget and expiry. `POST /api/dispatch/jobs/{id}/retry` */
  retry(id: string, options?: KeyedOptions): Promise<DispatchJob>;

  /** Cancel a job; one under way may still arrive. `POST /api/dispatch/jobs/{id}/cancel` */
  cancel(id: string, options?: KeyedOptions): Promise<DispatchJob>;

  /** Search dispatch jobs, newest first. `GET /api/bff/dispatch-jobs` */
  search(query?: SearchDispatchJobsQuery, options?: CallOptions): Promise<DispatchJobSearchPage>;
  /** Every item of `search`, page by page as they are asked for. */
  searchAll(query?: SearchDispatchJobsQuery, options?: CallOptions): AsyncGenerator<DispatchJob, void, undefined>;

  /** Values to choose from. `GET /api/bff/dispatch-jobs/filter-options` */
  filterOptions(options?: CallOptions): Promise<DispatchJobFilterOptions>;
}

/** Makes them of something that sends. */
export function jobsApi(send: Send): JobsApi {
  const api: JobsApi = {
    create: (body, options) => send({ method: "POST", path: "/api/dispatch/jobs", body, keyed: true, options }),
    list: (query, options) => send({ method: "GET", path: "/api/dispatch/jobs", query: { ...query }, options }),
    all: (query, options) => itemsByCursor((cursor) => api.list({ ...query, cursor }, options), query?.cursor),
    createBatch: (body, options) =>
      send({ method: "POST", path: "/api/dispatch/jobs/batch", body, keyed: true, options }),
    createItems: (body, options) =>
      send({ method: "POST", path: "/api/dispatch/jobs/batch", body, keyed: true, options }),
    get: (id, options) => send({ method: "GET", path: `/api/dispatch/jobs/${pathSegment(id)}`, options }),
    attempts: (id, query, options) =>
      send({ method: "GET", path: `/api/dispatch/jobs/${pathSegment(id)}/attempts`, query: { ...query }, options }),
    allAttempts: (id, query, options) =>
      itemsByCursor((cursor) => api.attempts(id, { ...query, cursor }, options), query?.cursor),
    retry: (id, options) =>
      send({ method: "POST", path: `/api/dispatch/jobs/${pathSegment(id)}/retry`, body: {}, keyed: true, options }),
    cancel: (id, options) =>
      send({ method: "POST", path: `/api/dispatch/jobs/${pathSegment(id)}/cancel`, body: {}, keyed: true, options }),
    search: (query, options) => send({ method: "GET", path: "/api/bff/dispatch-jobs", query: { ...query }, options }),
    searchAll: (query, options) => itemsByNumber((page) => api.search({ ...query, page }, options), query?.page),
    filterOptions: (options) => send({ method: "GET", path: "/api/bff/dispatch-jobs/filter-options", options }),
  };
  return api;
}
