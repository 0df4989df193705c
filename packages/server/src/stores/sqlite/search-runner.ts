import { CodedError } from "@flowcatalyst/foundation";
import type { SqliteDatabase } from "./database.ts";
import { findEventFilterOptions, searchEvents } from "./search-events.ts";
import { searchJobs } from "./search-jobs.ts";
import type { SearchSteps } from "./search-scan.ts";
import type { SearchRequest, SearchResult } from "./store-worker-protocol.ts";

function stepsOf(database: SqliteDatabase, request: SearchRequest): SearchSteps<SearchResult> {
  switch (request.kind) {
    case "events":
      return searchEvents(database, request);
    case "jobs":
      return searchJobs(database, request);
    case "filterOptions":
      return findEventFilterOptions(database, request);
  }
}

/** Runs a search to its end, or to its deadline: SEARCH_TIMED_OUT. For a thread that has nothing else to do. */
export function runSearch(database: SqliteDatabase, request: SearchRequest, monotonicMs: () => number): SearchResult {
  const deadlineMs = monotonicMs() + request.timeoutMs;
  const steps = stepsOf(database, request);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (monotonicMs() >= deadlineMs) throw new CodedError("SEARCH_TIMED_OUT");
  }
}

/**
 * The same between other work of this thread: gives way after each step. For a database in memory, which has no other.
 */
export async function runSearchGivingWay(
  database: SqliteDatabase,
  request: SearchRequest,
  monotonicMs: () => number,
): Promise<SearchResult> {
  const deadlineMs = monotonicMs() + request.timeoutMs;
  const steps = stepsOf(database, request);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (monotonicMs() >= deadlineMs) throw new CodedError("SEARCH_TIMED_OUT");
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
