import { CodedError, isCodedError, type Clock } from "@flowcatalyst/foundation";
import type { Searches } from "../../ports/search.ts";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";
import { searchLimits } from "../search-results.ts";
import { findEventFilterOptions, searchEvents } from "./search-events.ts";
import { searchJobs } from "./search-jobs.ts";
import { createSearchTurns } from "./search-turns.ts";

/**
 * Searches over history, on connections of their own, so that nobody who accepts or delivers waits for one.
 *
 * Each is planned for its values. It goes through an index from the newest to the oldest (events by their time, jobs by
 * their id) and stops when it has counted enough, or at its deadline: the server ends the statement, SEARCH_TIMED_OUT.
 * What is looked for and is rare, and has no index of its own, is looked for in all of the window; so it is the time
 * window that makes such a search fast.
 */
export interface SearchesDeps {
  /** Of the profile `search`. */
  readonly search: PostgresDatabase;
  readonly clock: Pick<Clock, "now" | "monotonicMs" | "setTimer">;
}

export interface SearchesConfig {
  /** Waiting for a connection included. */
  readonly timeoutMs: number;
}

export const searchesDefaults: SearchesConfig = { timeoutMs: searchLimits.timeoutMs };

const turnLimits = { runningMax: 4, waitingMax: 64 } as const;

export function createSearches(deps: SearchesDeps, config: SearchesConfig = searchesDefaults): Searches {
  const { search: database, clock } = deps;
  const turns = createSearchTurns(clock, turnLimits);

  const run = <Result>(work: (session: PostgresSession) => Promise<Result>): Promise<Result> => {
    const deadlineMs = clock.monotonicMs() + config.timeoutMs;
    return turns.run(deadlineMs, () =>
      inTime(() =>
        database.transaction(async (session) => {
          const leftMs = Math.max(1, Math.ceil(deadlineMs - clock.monotonicMs()));
          await session.query(limitStatements, [String(leftMs)]);
          return work(session);
        }),
      ),
    );
  };

  return {
    events: (search, paging, scope) => run((session) => searchEvents(session, { search, paging, scope })),
    jobs: (search, paging, scope) =>
      run((session) => searchJobs(session, { search, paging, scope, nowMs: clock.now() })),
    eventFilterOptions: (chosen, scope) => run((session) => findEventFilterOptions(session, { chosen, scope })),
  };
}

const limitStatements = adHoc<never, [timeoutMs: string]>("SELECT set_config('statement_timeout', $1, true)");

/** https://www.postgresql.org/docs/current/errcodes-appendix.html: query_canceled, here by the statement timeout. */
const canceledState = "57014";

async function inTime<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (isCodedError(error, "STORE_UNAVAILABLE") && error.context?.["state"] === canceledState) {
      throw new CodedError("SEARCH_TIMED_OUT", { cause: error });
    }
    throw error;
  }
}
