import type { DispatchJob, JobStatus } from "../domain/dispatch-job.ts";
import type { EventRecord } from "../domain/event.ts";
import type { Scope } from "../domain/scope.ts";

/** Pages of searches are numbered; totals are exact to 10,000. */
export interface SearchPage<Item> {
  readonly items: readonly Item[];
  readonly totalItems: number;
  readonly totalIsLowerBound: boolean;
}

export interface SearchPaging {
  readonly page: number;
  readonly size: number;
}

export interface EventSearch {
  readonly clientIds?: readonly (string | null)[];
  /** Literals, or patterns with `*`. */
  readonly types?: readonly string[];
  readonly source?: string;
  readonly subject?: string;
  readonly correlationId?: string;
  readonly messageGroup?: string;
  readonly timeAfterMs?: number;
  readonly timeBeforeMs?: number;
  /** Text in the data; the caller has set a time window. */
  readonly text?: string;
}

/** A place in the list of jobs, newest first: by position, or by id, whose order is the time it was made. */
export type JobPlace = Pick<DispatchJob, "position" | "id">;

export interface JobSearch {
  readonly statuses?: readonly JobStatus[];
  readonly subscriptionId?: string;
  readonly eventId?: string;
  readonly code?: string;
  readonly clientIds?: readonly (string | null)[];
  readonly poolCode?: string;
  readonly messageGroup?: string;
  readonly createdAfterMs?: number;
  readonly createdBeforeMs?: number;
  /** Only jobs that come after this one in the list: where a list by cursor goes on. */
  readonly before?: JobPlace;
}

export interface FilterOptions {
  readonly clients: readonly string[];
  readonly applications: readonly string[];
  readonly subdomains: readonly string[];
  readonly aggregates: readonly string[];
  readonly types: readonly string[];
}

/**
 * Searches and reports; run off the delivering thread with a limit of 2 s.
 * Throws CodedError SEARCH_TIMED_OUT.
 */
export interface Searches {
  events(search: EventSearch, paging: SearchPaging, scope: Scope): Promise<SearchPage<EventRecord>>;
  jobs(search: JobSearch, paging: SearchPaging, scope: Scope): Promise<SearchPage<DispatchJob>>;
  /** Cascading: each list is narrowed by the choices before it. */
  eventFilterOptions(chosen: Readonly<Record<string, string | undefined>>, scope: Scope): Promise<FilterOptions>;
}
