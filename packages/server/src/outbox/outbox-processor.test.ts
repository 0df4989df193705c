import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { CodedError } from "@flowcatalyst/foundation";
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
    expect([...byPath.keys()].sort()).toEqual([
      "/api/audit-logs/batch",
      "/api/dispatch/jobs/batch",
      "/api/events/batch",
    ]);
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

describe("rows that are bad", () => {
  test("are refused with the reason, before they are sent, and hold nobody", async () => {
    const bad = [
      { payload: "{ no json" },
      { payload: "[1]" },
      { payload: null },
      { type: "PARTY" },
      { type: "DISPATCH_JOB", headers: "3" },
    ].map((row) => ({ group: "a", ...row }));
    bench.outbox.insert(...bad, { group: "a" });
    bench.start();
    await bench.outbox.until(allAre(1, 2));
    expect(bench.outbox.statuses()).toEqual([2, 2, 2, 2, 2, 1]);
    expect(bench.outbox.rows.slice(0, 5).map(({ error }) => error)).toEqual([
      "The payload is no JSON object.",
      "The payload is no JSON object.",
      "The payload is larger than 1048576 bytes.",
      'The type "PARTY" is none of EVENT, DISPATCH_JOB, AUDIT_LOG.',
      "The headers are no JSON object.",
    ]);
    expect(bench.platform.batches.flatMap(({ items }) => items)).toHaveLength(1);
  });

  test("that the platform refuses one by one are final, and those behind them go on", async () => {
    bench.outbox.insert(...rowsOf(4, 1));
    bench.platform.answer = ({ items }) =>
      items.map(({ id }) => (id === "row0000001" ? "BAD_REQUEST" : id === "row0000002" ? "FORBIDDEN" : "SUCCESS"));
    bench.start();
    await bench.outbox.until(allAre(1, 2, 5));
    expect(bench.outbox.statuses()).toEqual([1, 2, 5, 1]);
  });

  test("that make the platform refuse the whole batch are found by halving, and the others are taken", async () => {
    bench.outbox.insert(...rowsOf(200, 20));
    const poison = new Set(["row0000003", "row0000077"]);
    bench.platform.answer = ({ items }) =>
      items.some(({ id }) => poison.has(id)) ? Response.json({ detail: "cannot be read" }, { status: 400 }) : "SUCCESS";
    bench.start();
    await bench.outbox.until(allAre(1, 2));
    const refused = bench.outbox.rows.filter(({ status }) => status === 2);
    expect(refused.map(({ row: { id } }) => String(id))).toEqual([...poison]);
    expect(refused[0]?.error).toBe("400 cannot be read");
    expectOrder();
  });

  test("in a request that is forbidden are all final", async () => {
    bench.outbox.insert(...rowsOf(3, 1));
    bench.platform.answer = () => Response.json({ detail: "not yours" }, { status: 403 });
    bench.start();
    await bench.outbox.until(allAre(5));
    expect(bench.outbox.rows[0]?.error).toBe("403 not yours");
  });
});

describe("a row that fails and may be tried again", () => {
  test("holds those behind it in its group and nobody else, and goes first when its delay is over", async () => {
    bench.outbox.insert(...rowsOf(6, 2));
    let failures = 1;
    bench.platform.answer = ({ items }) => {
      const fails = items.some(({ id }) => id === "row0000002") && failures-- > 0;
      return items.map(({ id, group }) =>
        fails && group === "g0" && id !== "row0000000" ? "INTERNAL_ERROR" : "SUCCESS",
      );
    };
    bench.start();
    await bench.outbox.until(() => bench.outbox.statuses().filter((status) => status === 1).length === 4);
    await bench.outbox.until(() => bench.outbox.statuses()[4] === 0);
    expect(bench.outbox.statuses()).toEqual([1, 1, 3, 1, 0, 1]);
    expect(bench.outbox.rows.map(({ retryCount }) => retryCount)).toEqual([0, 0, 1, 0, 0, 0]);
    bench.outbox.passTime(1_000);
    await bench.outbox.until(allAre(1));
    expectOrder();
  });

  test("lets those behind it pass where errors do not block", async () => {
    await bench.close();
    bench = openOutboxBench({ blockOnError: false });
    bench.outbox.insert(...rowsOf(3, 1));
    bench.platform.answer = ({ items }) => items.map(({ id }) => (id === "row0000000" ? "INTERNAL_ERROR" : "SUCCESS"));
    bench.start();
    await bench.outbox.until(() => bench.outbox.statuses().filter((status) => status === 1).length === 2);
    expect(bench.outbox.statuses()).toEqual([3, 1, 1]);
  });

  test("is not tried more often than it may", async () => {
    await bench.close();
    bench = openOutboxBench({ maxRetries: 2 });
    bench.outbox.insert({ group: "a" });
    bench.platform.answer = () => ["INTERNAL_ERROR"];
    bench.start();
    for (let tries = 1; tries <= 2; tries++) {
      await bench.outbox.until(() => bench.outbox.rows[0]?.retryCount === tries);
      bench.outbox.passTime(60_000);
    }
    bench.outbox.insert({ group: "b" });
    await bench.outbox.until(() => bench.outbox.statuses()[1] === 3);
    expect(bench.outbox.rows.map(({ retryCount }) => retryCount)).toEqual([2, 1]);
  });
});

describe("a platform that", () => {
  test("answers 500 to everything gets smaller batches, and only rows that fail alone use up retries", async () => {
    bench.outbox.insert(...rowsOf(64, 0));
    bench.platform.answer = () => new Response("", { status: 500 });
    bench.start();
    await bench.outbox.until(() => bench.outbox.rows.some(({ retryCount }) => retryCount > 0));
    const sizes = bench.platform.batches.map(({ items }) => items.length);
    expect(sizes[0]).toBe(64);
    expect(sizes.at(-1)).toBe(1);
    bench.platform.answer = () => "SUCCESS";
    bench.outbox.passTime(60_000);
    await bench.outbox.until(allAre(1));
  });

  test("is away uses up no retries; one batch probes, and then all go", async () => {
    bench.outbox.insert(...rowsOf(2_000, 10));
    let away = true;
    bench.platform.answer = () =>
      away ? new Response("", { status: 503, headers: { "retry-after": "1" } }) : "SUCCESS";
    bench.start();
    await bench.outbox.until(() => bench.processor.targetHealth().data?.["sending"] === false);
    await bench.outbox.until(() => !bench.outbox.statuses().includes(9));
    away = false;
    const before = bench.platform.batches.length;
    await bench.outbox.until(() => bench.platform.batches.length > before);
    expect(bench.platform.batches.length).toBe(before + 1);
    await bench.outbox.until(allAre(1));
    expect(bench.outbox.rows.every(({ retryCount }) => retryCount === 0)).toBe(true);
    expect(bench.processor.targetHealth().data).toEqual({ sending: true });
    expect(bench.said).toEqual([
      "This outbox processor leads",
      `The outbox's rows wait, since nobody takes them now: ${bench.platform.url} answers 503`,
      "The outbox's rows are sent again",
    ]);
    expectOrder();
  });

  test("refuses the token is left alone, and no retries are used up", async () => {
    bench.outbox.insert({ group: "a" }, { group: "a" });
    bench.platform.answer = () => new Response("", { status: 401 });
    bench.start();
    await bench.outbox.until(() => bench.outbox.statuses()[0] === 4);
    await bench.outbox.until(() => bench.outbox.statuses()[1] === 0);
    expect(bench.outbox.rows[0]).toMatchObject({ retryCount: 0, error: expect.stringContaining("FC_API_TOKEN") });
    bench.platform.answer = () => "SUCCESS";
    await bench.outbox.until(allAre(1));
  });
});

describe("a source that", () => {
  const unavailable = new CodedError("STORE_UNAVAILABLE");

  test("cannot be asked for a while is asked again, and what a lost answer left in progress goes again", async () => {
    let faults = 3;
    bench.outbox.interfere = (call) => {
      if (call === "claim" && faults-- > 0) throw unavailable;
    };
    bench.outbox.insert({ group: "a" }, { group: "b" });
    bench.outbox.rows[1]!.status = 9;
    bench.start();
    await bench.outbox.until(allAre(1));
  });

  test("cannot take results for a while gets them later, once", async () => {
    let faults = 3;
    bench.outbox.interfere = (call) => {
      if (call === "settle" && faults-- > 0) throw unavailable;
    };
    bench.outbox.insert(...rowsOf(10, 2));
    bench.start();
    await bench.outbox.until(allAre(1));
    expect(bench.platform.taken).toHaveLength(10);
  });

  test("has one row locked by the application gets the results of all others, and that one's later", async () => {
    const [held] = bench.outbox.insert({ group: "a" });
    bench.outbox.insert({ group: "a" }, ...rowsOf(10, 2));
    bench.outbox.locked.add(held!.row.id);
    bench.start();
    await bench.outbox.until(() => bench.outbox.done.length === 11);
    expect(held!.status).toBe(9);
    bench.outbox.locked.clear();
    await bench.outbox.until(allAre(1));
    expect(bench.platform.overlaps).toEqual([]);
  });

  test("is paused gives nothing until it is resumed", async () => {
    bench.outbox.pausedReason = "for a while";
    bench.outbox.insert({ group: "a" });
    bench.start();
    await eventuallyClaimed(2);
    expect(bench.processor.sourceHealth()).toEqual({ status: "UP", data: { role: "active", paused: "for a while" } });
    expect(bench.platform.batches).toEqual([]);
    bench.outbox.pausedReason = null;
    await bench.outbox.until(allAre(1));
  });
});

async function eventuallyClaimed(claims: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let left = claims;
  bench.outbox.interfere = (call) => {
    if (call === "claim" && --left < 0) resolve();
  };
  await promise;
}

describe("leadership", () => {
  test("what somebody left in progress goes again when a term begins", async () => {
    bench.outbox.insert({ group: "a" }, { group: "a" });
    bench.outbox.rows[0]!.status = 9;
    bench.start();
    await bench.outbox.until(allAre(1));
    expectOrder();
  });

  test("a stop lets requests under way end, and gives everything else back, and the lease too", async () => {
    bench.outbox.insert(...rowsOf(3_000, 2));
    const { promise: asked, resolve: arrived } = Promise.withResolvers<void>();
    const { promise: goOn, resolve: letGo } = Promise.withResolvers<void>();
    bench.platform.answer = async (): Promise<"SUCCESS"> => {
      arrived();
      await goOn;
      return "SUCCESS";
    };
    bench.start();
    await asked;
    const stopped = bench.stop();
    letGo();
    await stopped;
    const states = bench.outbox.statuses();
    expect(new Set(states)).toEqual(new Set([0, 1]));
    expect(states.filter((status) => status === 1)).toHaveLength(bench.platform.taken.length);
    expect(await bench.outbox.lease.acquire("two", 1_000)).not.toBeNull();
  });

  test("one that finds another leading says so, once", async () => {
    bench.outbox.usurp();
    const { promise: askedAgain, resolve } = Promise.withResolvers<void>();
    let asked = 0;
    bench.outbox.interfere = (call) => void (call === "acquire" && ++asked === 3 && resolve());
    bench.start();
    await askedAgain;
    expect(bench.said).toEqual(["Another outbox processor leads, this one stands by"]);
  });

  test("what a claim gave that took longer than the lease is trusted goes when it is renewed", async () => {
    bench.outbox.insert({ group: "a" });
    bench.outbox.interfere = (call) => {
      // The first one looks for retries.
      if (call !== "claim" || bench.outbox.claims.length === 0) return;
      bench.outbox.interfere = () => undefined;
      bench.passTime(6_000);
    };
    bench.start();
    await bench.outbox.until(allAre(1));
    expect(bench.outbox.claims.every(({ epoch }) => epoch === 1)).toBe(true);
  });

  test("one whose lease was taken claims nothing more", async () => {
    bench.start();
    await eventuallyClaimed(1);
    bench.outbox.usurp();
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    bench.outbox.interfere = (call) => void (call === "acquire" && resolve());
    await asked;
    bench.outbox.insert({ group: "a" });
    expect(bench.processor.sourceHealth().data).toEqual({ role: "standby" });
    await bench.stop();
    expect(bench.outbox.statuses()).toEqual([0]);
  });
});

test("metrics tell what was taken, refused and tried again, and how long requests took", async () => {
  bench.outbox.insert({ group: "a" }, { group: "b", payload: "no" }, { group: "c", type: "AUDIT_LOG" });
  bench.platform.answer = ({ path }) => (path === "/api/audit-logs/batch" ? ["INTERNAL_ERROR"] : "SUCCESS");
  bench.start();
  await bench.outbox.until(() => bench.outbox.statuses().every((status) => ![0, 9].includes(status)));
  await bench.stop();
  const text = await bench.metrics.render();
  expect(text).toContain('fc_outbox_messages_processed_total{type="EVENT"} 1');
  expect(text).toContain('fc_outbox_messages_failed_total{type="OTHER",kind="refused"} 1');
  expect(text).toContain('fc_outbox_messages_failed_total{type="AUDIT_LOG",kind="retry"} 1');
  expect(text).toContain('fc_outbox_publish_duration_seconds_count{type="EVENT"} 1');
  expect(text).toContain("fc_outbox_in_hand 0");
});

describe("health", () => {
  /** Resolves when the call has been made so often; it fails until the test says otherwise. */
  function failing(call: string, error: CodedError, times: number): Promise<void> {
    let made = 0;
    return new Promise((resolve) => {
      bench.outbox.interfere = (what) => {
        if (what !== call) return;
        made++;
        if (made > times) resolve();
        throw error;
      };
    });
  }

  test("is DOWN with the reason while claims fail though the lease is renewed, and UP again after that", async () => {
    const failed = failing("claim", new CodedError("STORE_UNAVAILABLE", { message: "no such column" }), 3);
    bench.outbox.insert({ group: "a" });
    bench.start();
    await failed;
    const { status, data } = bench.processor.sourceHealth();
    expect(status).toBe("DOWN");
    expect(data?.["reason"]).toContain("no such column");
    bench.outbox.interfere = () => undefined;
    await bench.outbox.until(allAre(1));
    expect(bench.processor.sourceHealth()).toEqual({ status: "UP", data: { role: "active" } });
  });

  test("is DOWN where nobody can lead, since the control row is missing", async () => {
    const failed = failing("verify", new CodedError("CONFIG_INVALID", { message: "its row is missing" }), 1);
    bench.outbox.usurp();
    bench.start();
    await failed;
    const { status, data } = bench.processor.sourceHealth();
    expect(status).toBe("DOWN");
    expect(data?.["reason"]).toContain("its row is missing");
  });
});
