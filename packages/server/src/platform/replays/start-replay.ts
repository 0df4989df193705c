import type { CreateReplay } from "@flowcatalyst/contracts";
import type { FinalStatus } from "../../domain/dispatch-job.ts";
import type { SubscriptionId } from "../../domain/ids.ts";
import type { Scope } from "../../domain/scope.ts";
import type { ReplayFilter } from "../../ports/job-store.ts";
import { createdAnswer, jsonAnswer } from "../answers.ts";
import { timeMember } from "../dispatch-jobs/job-filter.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { replayOut } from "./replay-out.ts";

const defaultStatuses: readonly FinalStatus[] = ["FAILED", "EXPIRED"];
const defaultJobsPerSecond = 100;

/** Counts (`dryRun`), or records a replay for the scheduler to work off in small steps. */
export async function startReplay(deps: PlatformDeps, body: CreateReplay, scope: Scope): Promise<Response> {
  const filter = filterOf(body);
  const total = await deps.replays.count(filter, scope);
  if (body.dryRun === true) return jsonAnswer({ dryRun: true, count: total });
  const nowMs = deps.clock.now();
  const replay = await deps.replays.create(
    {
      id: deps.ids.replay(),
      filter,
      total,
      done: 0,
      status: "RUNNING",
      jobsPerSecond: body.jobsPerSecond ?? defaultJobsPerSecond,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    },
    scope,
  );
  return createdAnswer(replayOut(replay), `/api/dispatch/replays/${replay.id}`);
}

function filterOf(body: CreateReplay): ReplayFilter {
  const { subscriptionId, eventType } = body;
  return {
    statuses: [...new Set(body.statuses ?? defaultStatuses)],
    ...(subscriptionId === undefined || subscriptionId === null
      ? {}
      : { subscriptionId: subscriptionId as SubscriptionId }),
    ...(eventType === undefined || eventType === null ? {} : { eventType }),
    ...timeMember("createdAfterMs", body.createdAfter ?? undefined),
    ...timeMember("createdBeforeMs", body.createdBefore ?? undefined),
  };
}
