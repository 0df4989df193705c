import type { DispatchPool } from "../../domain/dispatch-pool.ts";
import type { Scope } from "../../domain/scope.ts";
import type { DispatchPoolRepository } from "../../ports/settings.ts";
import { jsonAnswer } from "../answers.ts";
import { poolOut } from "../dispatch-pools/pool-out.ts";
import type { Mount } from "../mount.ts";
import type { PlatformConfig, PlatformDeps } from "../platform-deps.ts";
import type { JobId } from "../../domain/ids.ts";
import { requireAnchor } from "../principal.ts";
import { routerControlEndpoints } from "./endpoints.ts";
import { reportIn, verdictOut } from "./report-wire.ts";

/** What routers without a database need. It is of the whole platform, so no tenant may ask. */
export function mountRouterControl(mount: Mount, deps: PlatformDeps, config: PlatformConfig): void {
  mount.endpoint(routerControlEndpoints.attempts, async ({ body, scope }) => {
    requireAnchor(scope);
    const verdicts = await deps.attemptSink.record(body.reports.map(reportIn));
    return jsonAnswer({ verdicts: verdicts.map(verdictOut) });
  });
  mount.endpoint(routerControlEndpoints.check, async ({ body, scope }) => {
    requireAnchor(scope);
    const references = body.jobs.map(
      (job) => ({ ...job, jobId: job.jobId as JobId, kind: "reference", bytes: 0 }) as const,
    );
    const owed = await deps.deliveryReader.read(references);
    const jobs = references.flatMap(({ jobId, generation }) => {
      const job = owed.get(jobId);
      if (job === undefined || job.generation !== generation) return [];
      return [{ jobId, generation, attemptCount: job.attemptCount, generationAttempts: job.generationAttempts }];
    });
    return jsonAnswer({ jobs });
  });
  mount.endpoint(routerControlEndpoints.control, async ({ c, query, scope }) => {
    requireAnchor(scope);
    // A caller that goes away ends its wait.
    const state = await deps.control.read(query.revision ?? null, query.waitMs, c.req.raw.signal);
    return jsonAnswer({
      revision: state.revision,
      pools: state.pools.map(poolOut),
      pausedSubscriptions: [...state.pausedSubscriptions],
      cancelledJobs: [...state.cancelledJobs],
    });
  });
  mount.endpoint(routerControlEndpoints.secrets, async ({ c, query, scope }) => {
    requireAnchor(scope);
    const answer = jsonAnswer({ secrets: await deps.control.secrets(query.ref, c.req.raw.signal) });
    answer.headers.set("cache-control", "no-store");
    return answer;
  });
  mount.endpoint(routerControlEndpoints.config, async ({ scope }) => {
    requireAnchor(scope);
    const pools = await allPools(deps.pools, scope);
    return jsonAnswer({
      processingPools: pools.map(({ code, concurrency, rateLimitPerMinute }) => ({
        code,
        concurrency,
        rateLimitPerMinute,
      })),
      queues: config.routerQueues,
    });
  });
}

const poolsPageSize = 1_000;

/** There are at most 10,000 of them. */
async function allPools(pools: DispatchPoolRepository, scope: Scope): Promise<readonly DispatchPool[]> {
  const all: DispatchPool[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<DispatchPoolRepository["list"]>> = await pools.list(
      { limit: poolsPageSize, cursor },
      scope,
    );
    all.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return all;
}
