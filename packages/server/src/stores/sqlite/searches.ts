import type { Clock } from "@flowcatalyst/foundation";
import type { DispatchJob } from "../../domain/dispatch-job.ts";
import type { EventRecord } from "../../domain/event.ts";
import type { FilterOptions, SearchPage, Searches } from "../../ports/search.ts";
import { searchLimits } from "../search-results.ts";
import type { SqliteDatabase } from "./database.ts";
import { runSearchGivingWay } from "./search-runner.ts";
import { createStoreThread } from "./store-thread.ts";
import type { SearchRequest, SearchResult } from "./store-worker-protocol.ts";

/**
 * Searches run on a thread and a connection of their own, so that the thread that accepts and delivers never waits for
 * one. A search stops itself at its deadline; if a single step of it should take too long, its thread is ended.
 *
 * A database in memory belongs to its one connection, so its searches run on this thread, a slice at a time, giving
 * way in between.
 */
export interface SqliteSearches extends Searches {
  close(): Promise<void>;
}

export interface SearchesDeps {
  readonly database: SqliteDatabase;
  readonly clock: Pick<Clock, "now" | "monotonicMs" | "setTimer">;
}

export interface SearchesConfig {
  readonly timeoutMs: number;
}

export const searchesDefaults: SearchesConfig = { timeoutMs: searchLimits.timeoutMs };

export function createSearches(deps: SearchesDeps, config: SearchesConfig = searchesDefaults): SqliteSearches {
  const { clock } = deps;
  const { timeoutMs } = config;
  const runner = deps.database.inMemory ? runHere(deps) : runOnThread(deps);
  return {
    events: async (search, paging, scope) => {
      const result = await runner.run({ kind: "events", search, paging, scope, timeoutMs });
      return result as SearchPage<EventRecord>;
    },
    jobs: async (search, paging, scope) => {
      const result = await runner.run({ kind: "jobs", search, paging, scope, nowMs: clock.now(), timeoutMs });
      return result as SearchPage<DispatchJob>;
    },
    eventFilterOptions: async (chosen, scope) => {
      const result = await runner.run({ kind: "filterOptions", chosen, scope, timeoutMs });
      return result as FilterOptions;
    },
    close: () => runner.close(),
  };
}

interface Runner {
  run(request: SearchRequest): Promise<SearchResult>;
  close(): Promise<void>;
}

function runHere(deps: SearchesDeps): Runner {
  return {
    run: (request) => runSearchGivingWay(deps.database, request, () => deps.clock.monotonicMs()),
    close: () => Promise.resolve(),
  };
}

function runOnThread(deps: SearchesDeps): Runner {
  const thread = createStoreThread(deps, { path: deps.database.path, role: "search" });
  return {
    run: async (request) => {
      const reply = await thread.ask(request, request.timeoutMs);
      return reply.result as SearchResult;
    },
    close: () => thread.close(),
  };
}
