import { expect, test } from "bun:test";
import { createMetrics, HealthRegistry } from "@flowcatalyst/foundation";
import { createHealthRoutes } from "./health-routes.ts";

test("health answers 503 while a check is down, and 200 once it is up", async () => {
  const health = new HealthRegistry();
  const app = createHealthRoutes(health, createMetrics());
  const status = async (path: string): Promise<number> => (await app.request(path)).status;
  health.set("database", "DOWN", { reason: "full" });
  for (const path of ["/q/ready", "/q/health", "/q/health/ready", "/health"]) expect(await status(path)).toBe(503);
  for (const path of ["/q/live", "/q/health/live"]) expect(await status(path)).toBe(200);
  const report: unknown = await (await app.request("/q/health")).json();
  expect(report).toEqual({
    status: "DOWN",
    checks: [{ name: "database", status: "DOWN", data: { reason: "full" } }],
  });
  health.set("database", "UP");
  for (const path of ["/q/ready", "/q/health", "/health"]) expect(await status(path)).toBe(200);
});

test("metrics are in the Prometheus format", async () => {
  const metrics = createMetrics();
  metrics.counter("things_total", "Things.").inc(3);
  const response = await createHealthRoutes(new HealthRegistry(), metrics).request("/metrics");
  expect(response.headers.get("content-type")).toStartWith("text/plain");
  expect(await response.text()).toContain("things_total 3");
});

test("a scrape tells which checks are up", async () => {
  const health = new HealthRegistry();
  const app = createHealthRoutes(health, createMetrics());
  const scrape = async (): Promise<string> => (await app.request("/metrics")).text();
  health.set("database", "UP");
  health.register("queue", () => {
    throw new Error("gone");
  });
  expect(await scrape()).toContain('fc_health_check_up{check="database"} 1');
  expect(await scrape()).toContain('fc_health_check_up{check="queue"} 0');
  health.set("database", "DOWN");
  expect(await scrape()).toContain('fc_health_check_up{check="database"} 0');
});
