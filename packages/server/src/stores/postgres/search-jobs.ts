import type { DispatchJob, JobStatus } from "../../domain/dispatch-job.ts";
import { idPrefixes } from "../../domain/ids.ts";
import { isFinal } from "../../domain/job-state.ts";
import type { Scope } from "../../domain/scope.ts";
import type { JobSearch, SearchPage, SearchPaging } from "../../ports/search.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { statusCodes } from "../job-row.ts";
import { totalOf } from "../search-results.ts";
import { toDispatchJob } from "../whole-job.ts";
import { readFullJobs } from "./full-job-row.ts";
import { lowestIdAt } from "./history-partitions.ts";
import { Conditions } from "./search-conditions.ts";
import { findMatches, inOrder, type MatchQuery } from "./search-matches.ts";

/**
 * Jobs by any filter, newest first: by id, whose leading bits are the time a job was made. Both tables of jobs, the
 * open ones and the history, have that index, and a time window is a range of it; so no search looks at what lies
 * outside of its window, and one that finds enough looks no further. Of the two tables only those are visited that can
 * have a job of the wanted statuses. A job that moves from one to the other is in exactly one of them to a statement.
 */
export async function searchJobs(
  session: PostgresSession,
  request: {
    readonly search: JobSearch;
    readonly paging: SearchPaging;
    readonly scope: Scope;
    readonly nowMs: number;
  },
): Promise<SearchPage<DispatchJob>> {
  const { matched, ids } = await findMatches(session, jobQuery(request.search, request.scope), request.paging);
  const rows = ids.length === 0 ? [] : await session.query(readFullJobs, [JSON.stringify(ids)]);
  return { items: inOrder(rows, ids).map((row) => toDispatchJob(row, request.nowMs)), ...totalOf(matched) };
}

/** A job's id is made just before the job; this much before at most. */
const idSlackMs = 600_000;

export function jobQuery(search: JobSearch, scope: Scope): MatchQuery {
  const conditions = new Conditions();
  const { createdAfterMs: after, createdBeforeMs: before } = search;
  conditions.addBetween("j.created_at", after, before);
  conditions.addBetween("j.id", idAt(after, -idSlackMs), idAt(before, idSlackMs));
  if (search.before !== undefined) conditions.addBetween("j.id", undefined, search.before.id);
  conditions.addScope("j.client_id", scope);
  conditions.addOneOf("j.client_id", search.clientIds);
  conditions.addEqual("j.message_group", search.messageGroup);
  conditions.addEqual("j.code", search.code);
  conditions.addEqual("j.event_id", search.eventId);
  addFeeds(conditions, search);
  const statuses = search.statuses ?? [];
  // Not as values: the index of what did not end well is used only for statuses the planner can read.
  if (statuses.length > 0) conditions.add(`j.status IN (${statuses.map((status) => statusCodes[status]).join(", ")})`);
  const columns = `id, created_at, client_id, message_group, code, event_id, feed_id, task, status`;
  const tables = tablesOf(statuses).map((table) => `SELECT ${columns} FROM ${table}`);
  return {
    select: `SELECT j.id FROM (${tables.join(" UNION ALL ")}) AS j WHERE ${conditions.sql}`,
    order: "id DESC",
    values: conditions.values,
  };
}

function idAt(timeMs: number | undefined, slackMs: number): string | undefined {
  return timeMs === undefined ? undefined : lowestIdAt(idPrefixes.job, timeMs + slackMs);
}

/** As a test of each row, not as a join: the order of ids, and with it the end of the search, would be lost. */
function addFeeds(conditions: Conditions, { poolCode, subscriptionId }: JobSearch): void {
  if (poolCode !== undefined) {
    conditions.add(`(j.feed_id IN (SELECT id FROM job_feeds WHERE lane = ${conditions.value(poolCode)})) IS TRUE`);
  }
  if (subscriptionId !== undefined) {
    const id = conditions.value(subscriptionId);
    conditions.add(`CASE WHEN j.task THEN (SELECT t.subscription_id FROM job_tasks t WHERE t.job_id = j.id) = ${id}
      ELSE j.feed_id IN (SELECT id FROM job_feeds WHERE subscription_id = ${id}) END`);
  }
}

function tablesOf(statuses: readonly JobStatus[]): readonly ("open_jobs" | "jobs")[] {
  if (statuses.length === 0) return ["open_jobs", "jobs"];
  if (statuses.every(isFinal)) return ["jobs"];
  return statuses.some(isFinal) ? ["open_jobs", "jobs"] : ["open_jobs"];
}
