import { expect, test } from "bun:test";
import { FakeClock } from "./clock.ts";
import { HealthRegistry } from "./health.ts";

test("a settable check is DOWN until its owner says otherwise, and turns back", async () => {
  const health = new HealthRegistry();
  health.register("database");
  expect((await health.ready()).status).toBe("DOWN");
  health.set("database", "UP", { latencyMs: 2 });
  expect(await health.ready()).toEqual({
    status: "UP",
    checks: [{ name: "database", status: "UP", data: { latencyMs: 2 } }],
  });
  health.set("database", "DOWN", { reason: "disk full" });
  expect((await health.ready()).status).toBe("DOWN");
  health.set("database", "UP");
  expect((await health.ready()).checks).toEqual([{ name: "database", status: "UP" }]);
});

test("readiness does not make a process dead", async () => {
  const health = new HealthRegistry();
  health.set("queue", "DOWN");
  expect(await health.live()).toEqual({ status: "UP", checks: [] });
  health.register("loop", () => ({ status: "DOWN" }), "live");
  expect((await health.live()).status).toBe("DOWN");
  expect((await health.report()).checks.map((check) => check.name)).toEqual(["queue", "loop"]);
  health.unregister("loop");
  expect((await health.live()).status).toBe("UP");
});

test("a probe is asked each time; one that throws is DOWN with its reason", async () => {
  const health = new HealthRegistry();
  let asked = 0;
  health.register("lease", async () => {
    asked++;
    if (asked === 1) throw new Error("no connection");
    return { status: "UP" };
  });
  expect((await health.ready()).checks[0]).toEqual({
    name: "lease",
    status: "DOWN",
    data: { reason: "no connection" },
  });
  expect((await health.ready()).status).toBe("UP");
});

test("a probe that hangs is DOWN, and the answer does not hang with it", async () => {
  const clock = new FakeClock();
  const health = new HealthRegistry(clock);
  health.register("broker", () => Promise.withResolvers<never>().promise);
  const asking = health.ready();
  await clock.advance(2_000);
  expect((await asking).checks[0]).toMatchObject({ name: "broker", status: "DOWN" });
  expect(clock.timerCount).toBe(0);
});
