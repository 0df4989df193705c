import { createDispatchJobBatchSchema } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import type { JobId } from "../../domain/ids.ts";
import type { Scope } from "../../domain/scope.ts";
import { validated } from "../../http/validation.ts";
import type { CommandResult } from "../../ports/job-store.ts";
import { translateBody } from "../aliases.ts";
import { createdAnswer, found, jsonAnswer, listAnswer, notFound } from "../answers.ts";
import { answerJson, batchMembers, type BodyDeps } from "../batch-request.ts";
import type { Mount } from "../mount.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { startReplay } from "../replays/start-replay.ts";
import { dispatchJobEndpoints } from "./endpoints.ts";
import { readJobCursor, writeJobCursor } from "./job-cursor.ts";
import { jobSearchOf } from "./job-filter.ts";
import { createJobItems } from "./job-items.ts";
import { attemptOut, jobOut } from "./job-out.ts";
import { createTaskMaker } from "./new-task.ts";

export interface JobRoutesDeps extends BodyDeps {
  readonly platform: PlatformDeps;
}

export function mountDispatchJobs(mount: Mount, routes: JobRoutesDeps): void {
  const { platform: deps } = routes;
  mountCreation(mount, routes);
  mount.endpoint(dispatchJobEndpoints.replay, ({ body, scope }) => startReplay(deps, body, scope));
  mountReads(mount, deps);
  mount.endpoint(dispatchJobEndpoints.retry, async ({ param, scope }) => {
    const id = param("id");
    const options = { replay: false, nowMs: deps.clock.now() };
    return commandAnswer(id, await deps.jobCommands.retry(id as JobId, options, scope));
  });
  mount.endpoint(dispatchJobEndpoints.cancel, async ({ param, scope }) => {
    const id = param("id");
    return commandAnswer(id, await deps.jobCommands.cancel(id as JobId, deps.clock.now(), scope));
  });
}

function mountCreation(mount: Mount, routes: JobRoutesDeps): void {
  const { platform: deps } = routes;
  mount.endpoint(dispatchJobEndpoints.create, async ({ body, scope }) => {
    const task = await createTaskMaker(deps, scope)(body);
    const [created] = await deps.jobCommands.createTasks([task]);
    if (created === undefined) throw new CodedError("INTERNAL");
    const { kind, job } = created;
    return createdAnswer(jobOut(job), `/api/dispatch/jobs/${job.id}`, kind === "repeated");
  });
  mount.raw(dispatchJobEndpoints.createBatch, (c) =>
    answerJson(routes, c, async (given) => {
      const { scope } = c.get("principal");
      const body = translateBody(dispatchJobEndpoints.createBatch.id, given);
      const { kind, values } = batchMembers(body, "jobs");
      if (kind === "whole") return createWhole(deps, body, scope);
      return jsonAnswer({ results: await createJobItems(deps, values, scope) });
    }),
  );
}

/** All or none. */
async function createWhole(deps: PlatformDeps, body: unknown, scope: Scope): Promise<Response> {
  const { jobs } = validated(createDispatchJobBatchSchema, body);
  const make = createTaskMaker(deps, scope);
  const tasks = [];
  for (const [index, job] of jobs.entries()) tasks.push(await make(job).catch(atIndex(index)));
  const created = await deps.jobCommands.createTasks(tasks);
  const duplicateCount = created.filter(({ kind }) => kind === "repeated").length;
  return jsonAnswer({ count: created.length, duplicateCount, jobs: created.map(({ job }) => jobOut(job)) }, 201);
}

/** Says which job of a batch a fault belongs to. */
function atIndex(index: number): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof CodedError) || error.errors === undefined) throw error;
    const errors = error.errors.map(({ path, message }) => ({ path: `jobs[${index}].${path}`, message }));
    throw new CodedError(error.code, { message: `jobs[${index}]: ${error.publicMessage}`, errors, cause: error });
  };
}

function mountReads(mount: Mount, { jobs, searches, pools }: PlatformDeps): void {
  mount.endpoint(dispatchJobEndpoints.list, async ({ query, scope }) => {
    const { limit, cursor, ...filter } = query;
    const search = await jobSearchOf(filter, pools, scope);
    const from = cursor === undefined ? {} : { before: readJobCursor(cursor) };
    const page = await searches.jobs({ ...search, ...from }, { page: 0, size: limit }, scope);
    const last = page.items.at(-1);
    const more = last !== undefined && page.totalItems > page.items.length;
    return jsonAnswer({
      items: page.items.map(jobOut),
      ...(more ? { nextCursor: writeJobCursor(last) } : {}),
      ...(cursor !== undefined || page.totalIsLowerBound ? {} : { total: page.totalItems }),
    });
  });
  mount.endpoint(dispatchJobEndpoints.get, async ({ param, scope }) => {
    const id = param("id");
    return jsonAnswer(jobOut(found(await jobs.byId(id as JobId, scope), "dispatch job", id)));
  });
  mount.endpoint(dispatchJobEndpoints.attempts, async ({ param, query, scope }) => {
    const id = param("id");
    const job = found(await jobs.byId(id as JobId, scope), "dispatch job", id);
    const page = await jobs.attempts(job.id, { limit: query.limit, cursor: query.cursor ?? null }, scope);
    return listAnswer(page, (attempt) => attemptOut(job.id, attempt));
  });
}

function commandAnswer(id: string, result: CommandResult): Response {
  switch (result.kind) {
    case "done":
      return jsonAnswer(jobOut(result.job));
    case "notFound":
      throw notFound("dispatch job", id);
    case "conflict":
      throw new CodedError("STATE_CONFLICT", { message: `The job is ${result.status}.` });
  }
}
