import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { describeAuditLogConformance } from "../../ports/audit-log.conformance.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import { planOf } from "../../postgres/query-plan.fixture.ts";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { createAuditLogs, dropOld, insertRows, readById, readByPositions, readTaken, walks } from "./audit-logs.ts";
import { openTestJobs } from "./job-store.fixture.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";

describeWithPostgres("postgres audit logs", () => {
  describeAuditLogConformance("postgres", async () => {
    const jobs = await openTestJobs();
    const { housekeeping, leases, close } = jobs;
    return { auditLogs: createAuditLogs(jobs.test.database), housekeeping, leases, close };
  });

  describe("by themselves", () => {
    let store: TestStoreDatabase;
    beforeEach(async () => {
      store = await openTestStore();
    });
    afterEach(() => store.close());

    test("an audit log cannot be changed, whoever tries", async () => {
      await createAuditLogs(store.database).append([createSamples().auditLog()]);
      const change = store.database.run(adHoc("UPDATE audit_logs SET operation = 'x'"), []);
      expect(String(await change.catch((error: unknown) => (error as Error).cause ?? error))).toContain(
        "audit logs are never changed",
      );
    });

    test("every statement looks up what it needs", async () => {
      const samples = createSamples();
      const auditLogs = createAuditLogs(store.database);
      const some = () =>
        samples.auditLog({ senderId: `s${samples.auditLog().id}`, principalId: "ann", entityId: "one" });
      for (let n = 0; n < 10; n++) await auditLogs.append(Array.from({ length: 500 }, some));
      const database = store.open(1);
      const none = [null, null, null, null, null] as const;
      const row = { ...samples.auditLog(), position: 999_999, client_id: "", entity_type: "t", entity_id: "e" };
      const rows = JSON.stringify([
        { ...row, sender_id: "new", operation: "o", performed_at_ms: 1, created_at_ms: 1, data_bytes: 0 },
      ]);
      const plans = {
        all: await planOf(database, walks.all.heads, [9_999, 51, ...none]),
        entity: await planOf(database, walks.entity.heads, [9_999, 51, null, "one", null, null, null]),
        principal: await planOf(database, walks.principal.heads, [9_999, 51, null, null, "ann", null, null]),
        client: await planOf(database, walks.client.heads, [9_999, 51, null, null, null, null, ""]),
        byId: await planOf(database, readById, ["aud_0000000000100"]),
        positions: await planOf(database, readByPositions, ["[1,2,3]"]),
        taken: await planOf(database, readTaken, [
          JSON.stringify([{ client_id: "", sender_id: "saud_0000000000002" }]),
        ]),
        insert: await planOf(database, insertRows, [rows]),
        drop: await planOf(database, dropOld, [Number.MAX_SAFE_INTEGER, 50]),
      };
      for (const [name, plan] of Object.entries(plans)) {
        expect(`${name}: ${plan.text}`).not.toMatch(/Seq Scan|Bitmap|Hash/);
        expect([name, plan.rowsRead <= 210]).toEqual([name, true]);
      }
    }, 30_000);
  });
});
