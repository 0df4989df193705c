import { expect, test } from "bun:test";
import { createLogger, createMetrics, HealthRegistry, systemClock, systemRandom } from "@flowcatalyst/foundation";
import { composeOutbox } from "./outbox.ts";
import { loadProcessConfig } from "./process-config.ts";
import type { ProcessContext } from "./process-context.ts";

const facts = { isTerminal: false, hostName: "host-1", pid: 42 };

test.each([
  ["postgres://app:s3cr%403t@127.0.0.1:1/shop?sslmode=disable", "postgres://127.0.0.1:1/shop"],
  ["mysql://app:12@s3cr3t@127.0.0.1:1/shop", "mysql://127.0.0.1:1/shop"],
  ["mongodb+srv://app:s3cr3t@outbox.invalid/shop", "mongodb+srv://outbox.invalid/shop"],
])("a start tells where the rows come from, and nobody's password: %s", async (outboxDbUrl, source) => {
  const told: string[] = [];
  const clock = systemClock();
  const context: ProcessContext = {
    version: "1.2.3",
    holder: "one",
    clock,
    steerClock: () => undefined,
    random: systemRandom(),
    logger: createLogger({ level: "debug", format: "json", clock, destination: { write: (line) => told.push(line) } }),
    metrics: createMetrics(),
    health: new HealthRegistry(clock),
    maxSimultaneousRequests: 10,
    announce: (document, lines) => told.push(JSON.stringify(document), ...lines()),
  };
  const env = { FC_OUTBOX_DB_URL: outboxDbUrl, FC_API_BASE_URL: "http://me:s3cr3t@127.0.0.1:1/?token=s3cr3t" };
  const loaded = await loadProcessConfig("outbox", { env, facts });
  expect(loaded.kind).toBe("loaded");
  if (loaded.kind !== "loaded") return;
  expect(JSON.stringify(loaded.entries)).not.toContain("3t");
  const { started, close } = await composeOutbox(loaded.config, context);
  started();
  await close();
  expect(told.join("\n")).toContain(`"source":"${source}"`);
  expect(told.join("\n")).not.toContain("3t");
});
