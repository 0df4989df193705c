import { createDispatchJobSchema, wireLimits, type ItemResult } from "@flowcatalyst/contracts";
import type { NewTaskJob } from "../../domain/dispatch-job.ts";
import type { Scope } from "../../domain/scope.ts";
import { validated } from "../../http/validation.ts";
import { requireBatchBytes, requireItemCount } from "../batch-request.ts";
import { itemGroup, ItemOutcomes, refusedItem, type ItemCheck } from "../item-outcomes.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { createTaskMaker } from "./new-task.ts";

/** Creates tasks, each for itself. A known (client, idempotencyKey) is a success with the first job's id. */
export async function createJobItems(
  deps: PlatformDeps,
  values: readonly unknown[],
  scope: Scope,
): Promise<readonly ItemResult[]> {
  requireItemCount(values.length, "jobs", wireLimits.jobBatchMaxJobs);
  const make = createTaskMaker(deps, scope);
  const outcomes = new ItemOutcomes<NewTaskJob>(values.length);
  for (const [index, value] of values.entries()) {
    const path = `items[${index}]`;
    const { group, check } = await checkedItem(value, path, make);
    outcomes.take(index, group, check);
  }
  const payloads = outcomes.drafts().map(({ payload }) => payload);
  requireBatchBytes(payloads, "payloads");
  await outcomes.store(async (tasks) => {
    const created = await deps.jobCommands.createTasks(tasks);
    return created.map(({ job }) => job.id);
  });
  return outcomes.results();
}

interface CheckedItem {
  readonly group: string | null;
  readonly check: ItemCheck<NewTaskJob>;
}

async function checkedItem(
  value: unknown,
  path: string,
  make: ReturnType<typeof createTaskMaker>,
): Promise<CheckedItem> {
  let group: string | null = null;
  try {
    const body = validated(createDispatchJobSchema, value);
    group = itemGroup(body.clientId ?? null, body.messageGroup ?? null);
    return { group, check: { kind: "valid", draft: await make(body) } };
  } catch (error) {
    return { group, check: refusedItem(error, path) };
  }
}
