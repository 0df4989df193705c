/**
 * Audit logs: who did what to which entity, as applications tell it, mostly through their outbox.
 *
 * They are only ever added to and read. What is answered SUCCESS is durable; a repeat, known by the sender's id within
 * its client, is a success with the first one's id. Each item of a batch is answered for itself (item-outcomes.ts):
 * BAD_REQUEST and FORBIDDEN will not get better, INTERNAL_ERROR will. Nothing of ours is recorded here yet, and nobody
 * changes one: to correct something is another audit log.
 *
 * Limits: 500 audit logs a batch, 256 KiB of data each, 32 MiB of data a batch. Those older than
 * FC_AUDIT_RETENTION_DAYS go.
 */

import { wireLimits, type ItemResult } from "@flowcatalyst/contracts";
import type { NewAuditLog } from "../../domain/audit-log.ts";
import type { AuditLogId } from "../../domain/ids.ts";
import type { Scope } from "../../domain/scope.ts";
import type { AuditLogFilter } from "../../ports/audit-log.ts";
import { translateBody } from "../aliases.ts";
import { found, jsonAnswer, jsonTextAnswer } from "../answers.ts";
import { answerJson, batchMembers, requireBatchBytes, requireItemCount, type BodyDeps } from "../batch-request.ts";
import { itemGroup, ItemOutcomes, refusedItem } from "../item-outcomes.ts";
import { clientIdOf } from "../many-texts.ts";
import type { Mount } from "../mount.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { auditLogJson, auditLogPageJson } from "./audit-log-json.ts";
import { auditLogEndpoints } from "./endpoints.ts";
import { newAuditLog } from "./new-audit-log.ts";

export interface AuditLogRoutesDeps extends BodyDeps {
  readonly platform: Pick<PlatformDeps, "auditLogs" | "clock" | "ids">;
}

export function mountAuditLogs(mount: Mount, deps: AuditLogRoutesDeps): void {
  const { auditLogs } = deps.platform;
  mount.raw(auditLogEndpoints.createBatch, (c) =>
    answerJson(deps, c, async (given) => {
      const { values } = batchMembers(translateBody(auditLogEndpoints.createBatch.id, given), null);
      return jsonAnswer({ results: await appendItems(deps, values, c.get("principal").scope) });
    }),
  );
  mount.endpoint(auditLogEndpoints.list, async ({ query, scope }) => {
    const { limit, cursor, ...filter } = query;
    const page = await auditLogs.list(filterOf(filter), { limit, cursor: cursor ?? null }, scope);
    return jsonTextAnswer(auditLogPageJson(page));
  });
  mount.endpoint(auditLogEndpoints.get, async ({ param, scope }) => {
    const id = param("id");
    return jsonTextAnswer(auditLogJson(found(await auditLogs.byId(id as AuditLogId, scope), "audit log", id)));
  });
}

async function appendItems(
  { platform: { auditLogs, clock, ids } }: AuditLogRoutesDeps,
  values: readonly unknown[],
  scope: Scope,
): Promise<readonly ItemResult[]> {
  requireItemCount(values.length, "audit logs", wireLimits.auditLogBatchMaxItems);
  const nowMs = clock.now();
  const outcomes = new ItemOutcomes<NewAuditLog>(values.length);
  for (const [index, value] of values.entries()) {
    try {
      const draft = newAuditLog(value, { id: ids.auditLog(), nowMs, scope });
      outcomes.take(index, itemGroup(draft.clientId, draft.messageGroup), { kind: "valid", draft });
    } catch (error) {
      outcomes.take(index, null, refusedItem(error, `items[${index}]`));
    }
  }
  const datas = outcomes.drafts().map(({ data }) => data);
  requireBatchBytes(datas, "data");
  await outcomes.store(async (drafts) => (await auditLogs.append(drafts)).map(({ id }) => id));
  return outcomes.results();
}

interface FilterQuery {
  readonly entityType?: string | undefined;
  readonly entityId?: string | undefined;
  readonly principalId?: string | undefined;
  readonly operation?: string | undefined;
  readonly clientId?: string | undefined;
}

function filterOf({ entityType, entityId, principalId, operation, clientId }: FilterQuery): AuditLogFilter {
  return {
    ...(entityType === undefined ? {} : { entityType }),
    ...(entityId === undefined ? {} : { entityId }),
    ...(principalId === undefined ? {} : { principalId }),
    ...(operation === undefined ? {} : { operation }),
    ...(clientId === undefined ? {} : { clientId: clientIdOf(clientId) }),
  };
}
