import { parseTime, type CreateDispatchJob } from "@flowcatalyst/contracts";
import { subscriptionSecretRef } from "../../domain/delivery-profile.ts";
import type { NewTaskJob } from "../../domain/dispatch-job.ts";
import { taskGroupKey } from "../../domain/group-key.ts";
import type { ClientId, EventId, SubscriptionId } from "../../domain/ids.ts";
import { canWrite, type Scope } from "../../domain/scope.ts";
import { subscriptionDefaults } from "../../domain/subscription.ts";
import { validationError } from "../../http/validation.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { requirePoolCode } from "../pool-names.ts";
import { ownerOf } from "../replace-entity.ts";
import { decideRetry } from "../retry-wire.ts";
import { checkTarget, headerFaults, resolveDeadline } from "../target-check.ts";
import { taskPayload } from "./task-payload.ts";
import { taskProfile } from "./task-profile.ts";

type TaskDeps = Pick<PlatformDeps, "clock" | "ids" | "pools" | "addressGuard" | "secrets" | "subscriptions">;

/** Makes tasks of one request; what several of them share (targets, pools) is looked up once. */
export function createTaskMaker(deps: TaskDeps, scope: Scope): (body: CreateDispatchJob) => Promise<NewTaskJob> {
  const checkedTargets = new Set<string>();
  const deadline = resolveDeadline();
  return async (body) => {
    if (!checkedTargets.has(body.targetUrl)) await checkTarget(deps.addressGuard, body.targetUrl, deadline);
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
      secretRef: await secretRefOf(deps, body.secretRef ?? null, { clientId, scope }),
    }),
    payload,
    contentType,
    dueAtMs: dueAt(body, nowMs),
    idempotencyKey: body.idempotencyKey ?? null,
    metadata: body.metadata ?? {},
    createdAtMs: nowMs,
  };
}

interface Signer {
  readonly clientId: ClientId | null;
  readonly scope: Scope;
}

/** Who may name a secret may have anything signed with it: a tenant only its own. Throws VALIDATION_FAILED. */
async function secretRefOf(deps: TaskDeps, given: string | null, { clientId, scope }: Signer): Promise<string | null> {
  if (given === null) return defaultSecretRef(deps, clientId);
  if (scope.kind === "anchor" || given === clientSecretRef(scope.clientId)) return given;
  const prefix = subscriptionSecretRef("" as SubscriptionId);
  const id = given.startsWith(prefix) ? (given.slice(prefix.length) as SubscriptionId) : null;
  const subscription = id === null ? null : await deps.subscriptions.byId(id, scope);
  if (subscription !== null && canWrite(scope, subscription.clientId)) return given;
  throw validationError([{ path: "secretRef", message: "names no secret" }]);
}

function clientSecretRef(clientId: ClientId): string {
  return `client:${clientId}`;
}

/** The client's default secret if it has one; null: sent unsigned, and the attempts say so. */
async function defaultSecretRef({ secrets, clock }: TaskDeps, clientId: ClientId | null): Promise<string | null> {
  if (clientId === null) return null;
  const ref = clientSecretRef(clientId);
  return (await secrets.valid(ref, clock.now())).length > 0 ? ref : null;
}

function dueAt({ scheduledFor }: CreateDispatchJob, nowMs: number): number {
  const wanted = scheduledFor === undefined || scheduledFor === null ? null : parseTime(scheduledFor);
  return wanted === null ? nowMs : Math.max(wanted, nowMs);
}
