import { parseTime, type CreateDispatchJob } from "@flowcatalyst/contracts";
import type { NewTaskJob } from "../../domain/dispatch-job.ts";
import { taskGroupKey } from "../../domain/group-key.ts";
import type { ClientId, EventId, SubscriptionId } from "../../domain/ids.ts";
import type { Scope } from "../../domain/scope.ts";
import { subscriptionDefaults } from "../../domain/subscription.ts";
import { validationError } from "../../http/validation.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { requirePoolCode } from "../pool-names.ts";
import { ownerOf } from "../replace-entity.ts";
import { decideRetry } from "../retry-wire.ts";
import { checkTarget, headerFaults } from "../target-check.ts";
import { taskPayload } from "./task-payload.ts";
import { taskProfile } from "./task-profile.ts";

type TaskDeps = Pick<PlatformDeps, "clock" | "ids" | "pools" | "addressGuard" | "secrets">;

/** Makes tasks of one request; what several of them share (targets, pools) is looked up once. */
export function createTaskMaker(deps: TaskDeps, scope: Scope): (body: CreateDispatchJob) => Promise<NewTaskJob> {
  const checkedTargets = new Set<string>();
  return async (body) => {
    if (!checkedTargets.has(body.targetUrl)) await checkTarget(deps.addressGuard, body.targetUrl);
    checkedTargets.add(body.targetUrl);
    return newTask(deps, body, scope);
  };
}

async function newTask(deps: TaskDeps, body: CreateDispatchJob, scope: Scope): Promise<NewTaskJob> {
  const nowMs = deps.clock.now();
  const clientId = ownerOf(scope, body.clientId);
  const mode = body.mode ?? subscriptionDefaults.mode;
  const headers = body.headers ?? {};
  const faults = headerFaults(headers);
  if (faults.length > 0) throw validationError(faults);
  const { retry, maxAgeSeconds } = decideRetry(
    { retry: body.retry ?? null, maxRetries: body.maxRetries ?? null, maxAgeSeconds: body.maxAgeSeconds ?? null },
    subscriptionDefaults.maxAgeSeconds,
  );
  const { payload, contentType } = taskPayload(body.payload, "payload", body.contentType ?? null);
  return {
    kind: "TASK",
    id: deps.ids.job(),
    clientId,
    eventId: (body.eventId ?? null) as EventId | null,
    subscriptionId: (body.subscriptionId ?? null) as SubscriptionId | null,
    code: body.code ?? null,
    messageGroup: body.messageGroup ?? null,
    groupKey: taskGroupKey(clientId, mode, body.messageGroup ?? null),
    profile: taskProfile({
      subscriptionId: null,
      targetUrl: body.targetUrl,
      poolCode: await requirePoolCode(deps.pools, body.dispatchPoolId, scope),
      mode,
      format: "data",
      timeoutSeconds: body.timeoutSeconds ?? subscriptionDefaults.timeoutSeconds,
      retry,
      headers,
      maxAgeSeconds,
      legacySignature: body.legacySignature ?? false,
      secretRef: body.secretRef ?? (await defaultSecretRef(deps, clientId)),
    }),
    payload,
    contentType,
    dueAtMs: dueAt(body, nowMs),
    idempotencyKey: body.idempotencyKey ?? null,
    metadata: body.metadata ?? {},
    createdAtMs: nowMs,
  };
}

/** The client's default secret if it has one; null: sent unsigned, and the attempts say so. */
async function defaultSecretRef({ secrets, clock }: TaskDeps, clientId: ClientId | null): Promise<string | null> {
  if (clientId === null) return null;
  const ref = `client:${clientId}`;
  return (await secrets.valid(ref, clock.now())).length > 0 ? ref : null;
}

function dueAt({ scheduledFor }: CreateDispatchJob, nowMs: number): number {
  const wanted = scheduledFor === undefined || scheduledFor === null ? null : parseTime(scheduledFor);
  return wanted === null ? nowMs : Math.max(wanted, nowMs);
}
