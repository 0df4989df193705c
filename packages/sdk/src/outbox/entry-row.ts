import {
  byteLength,
  checkContextData,
  checkData,
  checkMembers,
  jsonAt,
  optionalContentType,
  optionalKey,
  optionalText,
  optionalTime,
  requiredText,
  requiredUrl,
} from "./entry-check.ts";
import type { OutboxAuditLog, OutboxEventCommon, OutboxJob, OutboxRow, OutboxRowType } from "./outbox-entry.ts";
import { outboxLimits } from "./outbox-limits.ts";

/**
 * Rows of entries. Message group and client stand in columns of their own, where the outbox processor keeps order by
 * them and puts them into the request; all else is the payload, which is the request's item.
 */
export interface RowContext {
  readonly path: string;
  readonly id: string;
  readonly now: string;
  readonly source: string | undefined;
  readonly clientId: string | undefined;
}

/** An event of whatever map of types. */
export type AnyEvent = OutboxEventCommon & { readonly type: string; readonly data?: unknown };

const membersOf = <Entry>(members: { readonly [Member in keyof Required<Entry>]: true }): ReadonlySet<string> =>
  new Set(Object.keys(members));

/** All that an event may have; the type holds it to the platform's. */
const eventMembers = membersOf<AnyEvent>({
  type: true,
  source: true,
  specVersion: true,
  subject: true,
  time: true,
  data: true,
  dataContentType: true,
  dataSchema: true,
  messageGroup: true,
  correlationId: true,
  causationId: true,
  deduplicationId: true,
  clientId: true,
  contextData: true,
});

/** All that a job may have. */
const jobMembers = membersOf<OutboxJob>({
  targetUrl: true,
  payload: true,
  contentType: true,
  eventId: true,
  subscriptionId: true,
  code: true,
  clientId: true,
  messageGroup: true,
  mode: true,
  dispatchPoolId: true,
  scheduledFor: true,
  idempotencyKey: true,
  headers: true,
  metadata: true,
  timeoutSeconds: true,
  maxRetries: true,
  retry: true,
  maxAgeSeconds: true,
  secretRef: true,
  legacySignature: true,
});

/** All that an audit log may have. */
const auditLogMembers = membersOf<OutboxAuditLog>({
  entityType: true,
  entityId: true,
  operation: true,
  principalId: true,
  performedAt: true,
  clientId: true,
  messageGroup: true,
  data: true,
});

export function eventRow(event: AnyEvent, context: RowContext): OutboxRow {
  const { path } = context;
  checkMembers(event, eventMembers, path);
  checkData(event.data, `${path}.data`);
  checkContextData(event.contextData, `${path}.contextData`);
  const { messageGroup, clientId, ...rest } = event;
  const payload = {
    ...rest,
    type: requiredText(event.type, `${path}.type`, outboxLimits.eventTypeMaxChars),
    source: requiredText(event.source ?? context.source, `${path}.source`, outboxLimits.sourceMaxChars),
    subject: optionalText(event.subject, `${path}.subject`, outboxLimits.subjectMaxChars),
    // The platform would take the time of its arrival, which may be long after.
    time: optionalTime(event.time, `${path}.time`) ?? context.now,
    dataContentType: optionalContentType(event.dataContentType, `${path}.dataContentType`),
    dataSchema: optionalKey(event.dataSchema, `${path}.dataSchema`, outboxLimits.urlMaxChars),
    correlationId: optionalKey(event.correlationId, `${path}.correlationId`),
    causationId: optionalKey(event.causationId, `${path}.causationId`),
    deduplicationId: optionalKey(event.deduplicationId, `${path}.deduplicationId`),
  };
  return rowOf("EVENT", payload, { context, messageGroup, clientId });
}

export function jobRow(job: OutboxJob, context: RowContext): OutboxRow {
  const { path } = context;
  checkMembers(job, jobMembers, path);
  if (job.payload === undefined) throw new TypeError(`${path}.payload: must be given`);
  checkData(job.payload, `${path}.payload`);
  const { messageGroup, clientId, ...rest } = job;
  const payload = {
    ...rest,
    targetUrl: requiredUrl(job.targetUrl, `${path}.targetUrl`),
    contentType: optionalContentType(job.contentType, `${path}.contentType`),
    code: optionalKey(job.code, `${path}.code`),
    dispatchPoolId: optionalKey(job.dispatchPoolId, `${path}.dispatchPoolId`),
    secretRef: optionalKey(job.secretRef, `${path}.secretRef`),
    scheduledFor: optionalTime(job.scheduledFor, `${path}.scheduledFor`),
    eventId: optionalKey(job.eventId, `${path}.eventId`),
    subscriptionId: optionalKey(job.subscriptionId, `${path}.subscriptionId`),
    idempotencyKey: optionalKey(job.idempotencyKey, `${path}.idempotencyKey`),
  };
  return rowOf("DISPATCH_JOB", payload, { context, messageGroup, clientId });
}

export function auditLogRow(auditLog: OutboxAuditLog, context: RowContext): OutboxRow {
  const { path } = context;
  checkMembers(auditLog, auditLogMembers, path);
  checkData(auditLog.data, `${path}.data`);
  const { messageGroup, clientId, ...rest } = auditLog;
  const payload = {
    ...rest,
    entityType: requiredText(auditLog.entityType, `${path}.entityType`, outboxLimits.keyMaxChars),
    entityId: requiredText(auditLog.entityId, `${path}.entityId`, outboxLimits.keyMaxChars),
    operation: requiredText(auditLog.operation, `${path}.operation`, outboxLimits.keyMaxChars),
    principalId: optionalKey(auditLog.principalId, `${path}.principalId`),
    performedAt: optionalTime(auditLog.performedAt, `${path}.performedAt`) ?? context.now,
  };
  return rowOf("AUDIT_LOG", payload, { context, messageGroup, clientId });
}

interface RowColumns {
  readonly context: RowContext;
  readonly messageGroup: string | null | undefined;
  readonly clientId: string | null | undefined;
}

function rowOf(type: OutboxRowType, item: object, { context, messageGroup, clientId }: RowColumns): OutboxRow {
  const payload = jsonAt(item, context.path);
  const payloadSize = byteLength(payload);
  if (payloadSize > outboxLimits.payloadMaxBytes) {
    throw new RangeError(
      `${context.path}: ${payloadSize} bytes of JSON; at most ${outboxLimits.payloadMaxBytes} are taken`,
    );
  }
  // Null is a choice: of the platform. Only what is absent is the outbox's own.
  const client = clientId === undefined ? context.clientId : clientId;
  return {
    id: requiredText(context.id, `${context.path}: its id`, outboxLimits.idMaxChars),
    type,
    messageGroup: optionalKey(messageGroup, `${context.path}.messageGroup`) ?? null,
    payload,
    clientId: optionalKey(client, `${context.path}.clientId`, outboxLimits.clientIdMaxChars) ?? null,
    payloadSize,
  };
}
