import type { ErrorCode } from "@flowcatalyst/foundation";
import type { DispatchJob } from "../../domain/dispatch-job.ts";
import type { EventRecord } from "../../domain/event.ts";
import type { Scope } from "../../domain/scope.ts";
import type { EventSearch, FilterOptions, JobSearch, SearchPage, SearchPaging } from "../../ports/search.ts";
import type { CheckpointResult } from "./database.ts";

/** What the store's own threads are asked, one request at a time. The first one is always `open`. */
export type WorkerRequest = OpenRequest | SearchRequest | { readonly kind: "checkpoint" } | { readonly kind: "close" };

export interface OpenRequest {
  readonly kind: "open";
  readonly path: string;
  readonly role: "search" | "checkpoint";
}

export type SearchRequest =
  | {
      readonly kind: "events";
      readonly search: EventSearch;
      readonly paging: SearchPaging;
      readonly scope: Scope;
      readonly timeoutMs: number;
    }
  | {
      readonly kind: "jobs";
      readonly search: JobSearch;
      readonly paging: SearchPaging;
      readonly scope: Scope;
      readonly nowMs: number;
      readonly timeoutMs: number;
    }
  | {
      readonly kind: "filterOptions";
      readonly chosen: Readonly<Record<string, string | undefined>>;
      readonly scope: Scope;
      readonly timeoutMs: number;
    };

export type SearchResult = SearchPage<EventRecord> | SearchPage<DispatchJob> | FilterOptions;

export type WorkerReply =
  | { readonly kind: "done"; readonly result: SearchResult | CheckpointResult | null }
  | { readonly kind: "failed"; readonly code: ErrorCode; readonly detail: string };
