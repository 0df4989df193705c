import { expect, test } from "bun:test";
import { seededRandom } from "@flowcatalyst/foundation";
import { describeAuditLogConformance } from "../../ports/audit-log.conformance.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import type { AuditLogWalk } from "../audit-log-page.ts";
import { createAuditLogs, readAuditLogHeads } from "./audit-logs.ts";
import { createHousekeeping } from "./housekeeping.ts";
import { createJobWriter } from "./job-writer.ts";
import { createLeaseStore } from "./lease-store.ts";
import { openTestDatabase } from "./sqlite-store.fixture.ts";
import { createStoreWakes } from "./wake-signal.ts";

describeAuditLogConformance("sqlite", async () => {
  const store = openTestDatabase();
  const { database, clock } = store;
  const writer = createJobWriter({ database, clock, wakes: createStoreWakes(), random: seededRandom(1) });
  return {
    auditLogs: createAuditLogs(database),
    housekeeping: createHousekeeping(writer, { dedupWindowMs: 1_000 }),
    leases: createLeaseStore({ database, clock }),
    close: store.close,
  };
});

test("an audit log cannot be changed, whoever tries", async () => {
  const { database, close } = openTestDatabase();
  await createAuditLogs(database).append([createSamples().auditLog()]);
  const change = (): void => database.transaction(() => database.exec("UPDATE audit_logs SET operation = 'x'"));
  expect(change).toThrow("audit logs are never changed");
  await close();
});

test("every page walks an index in its order", async () => {
  const { database, close } = openTestDatabase();
  const indexes: Readonly<Record<AuditLogWalk, string>> = {
    entity: "audit_logs_by_entity",
    principal: "audit_logs_by_principal",
    client: "audit_logs_by_client",
    all: "INTEGER PRIMARY KEY",
  };
  for (const walk of ["entity", "principal", "client", "all"] as const) {
    const plan = database
      .statement<{ detail: string }>(`EXPLAIN QUERY PLAN ${readAuditLogHeads(walk)}`)
      .all()
      .map(({ detail }) => detail)
      .join("\n");
    expect(plan).toContain(indexes[walk]);
    expect(plan).not.toContain("TEMP B-TREE");
  }
  await close();
});
