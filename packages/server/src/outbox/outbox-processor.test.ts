import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { openOutboxBench, type OutboxBench } from "./outbox.fixture.ts";

let bench: OutboxBench;
beforeEach(() => {
  bench = openOutboxBench();
});
afterEach(() => bench.close());

const allAre =
  (...states: readonly number[]) =>
  (): boolean =>
    bench.outbox.statuses().every((status) => states.includes(status));
const rowsOf = (count: number, groups: number) =>
  Array.from({ length: count }, (_, at) => ({ group: groups === 0 ? null : `g${at % groups}` }));

function expectOrder(): void {
  const seen = new Map<string, string>();
  for (const { id, group } of bench.platform.taken) {
    if (group === null) continue;
    expect(id > (seen.get(group) ?? "")).toBe(true);
    seen.set(group, id);
  }
  expect(bench.platform.overlaps).toEqual([]);
}

describe("rows that are well", () => {
  test("go to the platform with their id, group and client, and are done", async () => {
    bench.outbox.insert({ group: "a", clientId: "cli_1" });
    bench.start();
    await bench.outbox.until(allAre(1));
    const [batch] = bench.platform.batches;
    expect(batch?.path).toBe("/api/events/batch");
    expect(batch?.items[0]?.item).toEqual({
      type: "a.b",
      source: "s",
      data: 0,
      deduplicationId: "row0000000",
      messageGroup: "a",
      clientId: "cli_1",
    });
  });

  test("of three types go by their own paths", async () => {
    bench.outbox.insert({ type: "EVENT" }, { type: "DISPATCH_JOB", headers: '{"x":"1"}' }, { type: "AUDIT_LOG" });
    bench.start();
    await bench.outbox.until(allAre(1));
    const byPath = new Map(bench.platform.batches.map(({ path, items }) => [path, items[0]?.item]));
    expect([...byPath.keys()].sort()).toEqual(["/api/audit-logs/batch", "/api/dispatch/jobs/batch", "/api/events/batch"]);
    expect(byPath.get("/api/dispatch/jobs/batch")).toMatchObject({ idempotencyKey: "row0000001", headers: { x: "1" } });
    expect(byPath.get("/api/audit-logs/batch")).toMatchObject({ id: "row0000002" });
  });

  for (const groups of [0, 1, 7, 1_000]) {
    test(`many of them in ${groups} groups are all sent once, in order`, async () => {
      bench.outbox.insert(...rowsOf(3_000, groups));
      bench.start();
      await bench.outbox.until(allAre(1));
      expect(bench.platform.taken).toHaveLength(3_000);
      expectOrder();
    });
  }

  test("that come while it runs are sent at once", async () => {
    bench.start();
    for (let at = 0; at < 50; at++) {
      bench.outbox.insert({ group: "a" });
      await bench.outbox.until(allAre(1));
    }
    expectOrder();
  });
});
