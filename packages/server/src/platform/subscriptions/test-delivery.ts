import type { TestSubscription } from "@flowcatalyst/contracts";
import { isoTime } from "@flowcatalyst/foundation";
import { profileOf } from "../../domain/delivery-profile.ts";
import type { DispatchJob, NewTaskJob } from "../../domain/dispatch-job.ts";
import { parsePattern } from "../../domain/event-type-pattern.ts";
import type { Subscription } from "../../domain/subscription.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { taskPayload } from "../dispatch-jobs/task-payload.ts";
import { taskProfile } from "../dispatch-jobs/task-profile.ts";

/** Codes of test deliveries begin so, for receivers that want to tell them apart. */
const testCode = "flowcatalyst.test";
const jsonContentType = "application/json";

/**
 * Sends one task to the subscription's target, signed with its secret and with its headers and limits, so that an
 * operator sees whether the receiver understands us. It is not ordered, and is sent even while the subscription is
 * paused.
 */
export async function sendTestDelivery(
  { clock, ids, jobCommands }: Pick<PlatformDeps, "clock" | "ids" | "jobCommands">,
  subscription: Subscription,
  { type, data }: TestSubscription,
): Promise<DispatchJob | null> {
  const nowMs = clock.now();
  const code = type ?? literalTypeOf(subscription) ?? testCode;
  const sample = { test: true, type: code, subscriptionId: subscription.id, sentAt: isoTime(nowMs) };
  const { payload } = taskPayload(
    typeof data === "string" ? JSON.stringify(data) : (data ?? sample),
    "data",
    jsonContentType,
  );
  const { key: _key, ...profile } = profileOf(subscription);
  const task: NewTaskJob = {
    kind: "TASK",
    id: ids.job(),
    clientId: subscription.clientId,
    eventId: null,
    subscriptionId: subscription.id,
    code,
    messageGroup: null,
    groupKey: null,
    profile: taskProfile({ ...profile, subscriptionId: null, mode: "IMMEDIATE", format: "data" }),
    payload,
    contentType: jsonContentType,
    dueAtMs: nowMs,
    idempotencyKey: null,
    metadata: { test: "true" },
    createdAtMs: nowMs,
  };
  const [created] = await jobCommands.createTasks([task]);
  return created?.job ?? null;
}

function literalTypeOf(subscription: Subscription): string | null {
  for (const { pattern } of subscription.eventTypes) {
    const parsed = parsePattern(pattern);
    if (parsed.kind === "valid" && parsed.pattern.literal) return pattern;
  }
  return null;
}
