import type { NewAuditLog } from "../domain/audit-log.ts";
import type { DispatchPool } from "../domain/dispatch-pool.ts";
import type { EventType } from "../domain/event-type.ts";
import type { NewEvent } from "../domain/event.ts";
import type { AuditLogId, ClientId, EventId, EventTypeId, PoolCode, PoolId, SubscriptionId } from "../domain/ids.ts";
import type { Subscription } from "../domain/subscription.ts";

/** Entities for conformance suites: valid, plain, and each with an id of its own. */
export interface SampleEntities {
  event(changes?: Partial<NewEvent>): NewEvent;
  subscription(changes?: Partial<Subscription>): Subscription;
  pool(changes?: Partial<DispatchPool>): DispatchPool;
  eventType(changes?: Partial<EventType>): EventType;
  auditLog(changes?: Partial<NewAuditLog>): NewAuditLog;
}

export const sampleTimeMs = Date.UTC(2026, 0, 1);
export const clientA = "cli_0000000000AAA" as ClientId;
export const clientB = "cli_0000000000BBB" as ClientId;

export function createSamples(): SampleEntities {
  let counter = 0;
  const next = (): string => (++counter).toString().padStart(13, "0");
  return {
    event: (changes) => ({
      id: `evt_${next()}` as EventId,
      clientId: null,
      type: "order.created",
      source: "/shop",
      subject: null,
      timeMs: sampleTimeMs + counter,
      messageGroup: null,
      correlationId: null,
      causationId: null,
      deduplicationId: null,
      senderId: null,
      dataContentType: "application/json",
      dataSchema: null,
      dataKind: "json",
      data: `{"n":${counter}}`,
      contextData: [],
      extensions: {},
      createdAtMs: sampleTimeMs + counter,
      ...changes,
    }),
    subscription: (changes) => ({
      id: `sub_${next()}` as SubscriptionId,
      code: null,
      name: `subscription ${counter}`,
      clientId: null,
      eventTypes: [{ pattern: "order.*", filter: null }],
      filter: null,
      targetUrl: "https://example.com/hook",
      poolCode: "DEFAULT-POOL" as PoolCode,
      mode: "NEXT_ON_ERROR",
      format: "data",
      timeoutSeconds: 30,
      retry: { delaysMs: [1_000, 2_000], maxRetries: 2 },
      headers: { "x-team": "shop" },
      delaySeconds: 0,
      maxAgeSeconds: 86_400,
      legacySignature: false,
      status: "ACTIVE",
      pauseReason: null,
      leaseExpiresAtMs: null,
      version: 1,
      createdAtMs: sampleTimeMs,
      updatedAtMs: sampleTimeMs,
      ...changes,
    }),
    pool: (changes) => ({
      id: `pool_${next()}` as PoolId,
      code: `POOL-${counter}` as PoolCode,
      name: null,
      clientId: null,
      concurrency: 10,
      rateLimitPerMinute: null,
      burst: null,
      timeoutSeconds: null,
      status: "ACTIVE",
      version: 1,
      createdAtMs: sampleTimeMs,
      updatedAtMs: sampleTimeMs,
      ...changes,
    }),
    eventType: (changes) => ({
      id: `typ_${next()}` as EventTypeId,
      code: `shop:sales:order:event${counter}`,
      name: "An event type",
      description: null,
      clientId: null,
      status: "ACTIVE",
      schemas: [{ version: "1.0", status: "CURRENT", schema: '{"type":"object"}', createdAtMs: sampleTimeMs }],
      version: 1,
      createdAtMs: sampleTimeMs,
      updatedAtMs: sampleTimeMs,
      ...changes,
    }),
    auditLog: (changes) => ({
      id: `aud_${next()}` as AuditLogId,
      senderId: null,
      clientId: null,
      entityType: "Order",
      entityId: `order-${counter}`,
      operation: "CancelOrder",
      principalId: null,
      performedAtMs: sampleTimeMs + counter,
      messageGroup: null,
      createdAtMs: sampleTimeMs + counter,
      data: null,
      ...changes,
    }),
  };
}
