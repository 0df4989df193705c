import type { HealthRegistry, HealthReport, Metrics } from "@flowcatalyst/foundation";
import { Hono } from "hono";

/**
 * Health and metrics as every service has them, without a token: `/q/live`, `/q/ready`, `/q/health` with `/live` and
 * `/ready`, `/health` and `/metrics`. A report that is DOWN answers 503, so that probes need not read the body. A
 * scrape asks the checks too: `fc_health_check_up` is what an alert on a database or a queue goes by.
 */
export function createHealthRoutes(
  health: HealthRegistry,
  metrics: Pick<Metrics, "gauge" | "render" | "contentType">,
): Hono {
  const checkUp = metrics.gauge("fc_health_check_up", "1 while a check of health is UP, 0 while it is DOWN", ["check"]);
  const app = new Hono();
  for (const path of ["/q/live", "/q/health/live"]) app.get(path, async () => reportResponse(await health.live()));
  for (const path of ["/q/ready", "/q/health/ready"]) app.get(path, async () => reportResponse(await health.ready()));
  for (const path of ["/q/health", "/health"]) app.get(path, async () => reportResponse(await health.report()));
  app.get("/metrics", async () => {
    for (const { name, status } of (await health.report()).checks) {
      checkUp.labels({ check: name }).set(status === "UP" ? 1 : 0);
    }
    const text = await metrics.render();
    return new Response(text, { headers: { "content-type": metrics.contentType, "cache-control": "no-store" } });
  });
  return app;
}

function reportResponse(report: HealthReport): Response {
  const headers = { "content-type": "application/json", "cache-control": "no-store" };
  return new Response(JSON.stringify(report), { status: report.status === "UP" ? 200 : 503, headers });
}
