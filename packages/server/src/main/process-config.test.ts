import { describe, expect, test } from "bun:test";
import { describeFault, isCodedError } from "@flowcatalyst/foundation";
import { queueUrlsOf } from "./queue-at.ts";
import {
  loadProcessConfig,
  namedSchemas,
  processSchemas,
  requireProcessConfig,
  type DevConfig,
  type ProcessName,
  type RouterConfig,
} from "./process-config.ts";

const facts = { isTerminal: true, hostName: "box", pid: 7 };
type Env = Readonly<Record<string, string>>;

async function load<P extends ProcessName>(name: P, env: Env = {}) {
  return (await requireProcessConfig(name, { env, facts })).config;
}

async function faultsOf(name: ProcessName, env: Env): Promise<string[]> {
  const result = await loadProcessConfig(name, { env, facts });
  return result.kind === "faulty" ? result.faults.map(describeFault) : [];
}

test("flowcatalyst dev needs no configuration", async () => {
  const config: DevConfig = await load("dev");
  expect(config).toMatchObject({
    apiPort: 8080,
    routerPort: 8081,
    metricsPort: 9090,
    host: "127.0.0.1",
    databaseUrl: "sqlite:./data/flowcatalyst.db",
    queueUrls: ["db:"],
    authMode: "none",
    logFormat: "text",
    allowedTargetCidrs: ["127.0.0.0/8", "::1/128"],
    dedupWindowHours: 168,
    routerMaxInFlight: 4096,
    schedulerPublishWindow: 1000,
  });
});

const postgres = { FC_DATABASE_URL: "postgres://db/fc", FC_APP_KEY: "a-key" };

test("outside development, no private address may be called unless allowed", async () => {
  expect((await load("platform", postgres)).allowedTargetCidrs).toEqual([]);
  expect(
    (await load("platform", { ...postgres, FC_ALLOWED_TARGET_CIDRS: "10.0.0.0/8, fd00::/8" })).allowedTargetCidrs,
  ).toEqual(["10.0.0.0/8", "fd00::/8"]);
  expect(await faultsOf("platform", { ...postgres, FC_ALLOWED_TARGET_CIDRS: "10.0.0.0" })).toHaveLength(1);
});

test("one environment serves every process: each accepts what any other knows", async () => {
  const env = {
    ...postgres,
    FC_OUTBOX_DB_URL: "postgres://app/db",
    FC_STANDBY_ENABLED: "true",
    FC_STREAM_BATCH_SIZE: "100",
    FC_TEST_MARK: "1",
    QUEUE_TYPE: "nats",
  };
  for (const name of Object.keys(processSchemas) as ProcessName[]) expect(await faultsOf(name, env)).toEqual([]);
});

test("names of other builds are understood", async () => {
  const config = await load("router", {
    DATABASE_URL: "postgres://db/fc",
    FC_APP_KEY: "a-key",
    POOL_CONCURRENCY: "20",
    VISIBILITY_TIMEOUT: "120",
    FC_DRAIN_TIMEOUT_SECONDS: "10",
    FLOWCATALYST_CONFIG_URL: "http://platform/api/config/router",
    LEADER_ELECTION_ENABLED: "yes",
    LEADER_TTL: "60",
    REDIS_URL: "redis://cache",
    RUST_LOG: "hyper=warn,trace",
  });
  expect(config).toMatchObject({
    databaseUrl: "postgres://db/fc",
    routerPoolConcurrency: 20,
    routerVisibilityTimeoutSecs: 120,
    routerDrainTimeoutSecs: 10,
    routerConfigUrls: ["http://platform/api/config/router"],
    standbyEnabled: true,
    standbyLockTtlSecs: 60,
    standbyRedisUrl: "redis://cache",
    standbyLockKey: "fc:router:leader",
    standbyInstanceId: "box:7",
    logLevel: "debug",
  });
});

describe("the queue", () => {
  test("of other builds is chosen by QUEUE_TYPE", async () => {
    const env = { SQS_QUEUE_URL: "https://sqs.eu/1/q", NATS_URL: "nats://n:4222" };
    expect((await load("router", { ...env, QUEUE_TYPE: "SQS" })).queueUrls).toEqual(["https://sqs.eu/1/q"]);
    expect((await load("router", { ...env, QUEUE_TYPE: "nats" })).queueUrls).toEqual(["nats://n:4222"]);
    expect((await load("dev", env)).queueUrls).toEqual(["db:"]);
  });

  test("may stand alone for a router, else the router needs the database", async () => {
    const config: RouterConfig = await load("router", { FC_QUEUE_URL: "sqlite:/tmp/q.db" });
    expect(config.databaseUrl).toBeUndefined();
    expect((await faultsOf("router", {})).join()).toContain("needs FC_DATABASE_URL");
  });

  test("comes from a flag as well", async () => {
    const flags = { queueUrls: "sqlite:/tmp/q.db" };
    expect(await loadProcessConfig("router", { env: {}, facts, flags })).toMatchObject({ kind: "loaded" });
  });
});

describe("several queues", () => {
  test("are separated by white space, and none is named twice", async () => {
    const config = await load("router", { FC_QUEUE_URL: " sqlite:/tmp/q.db\n nats://n:4222,m:4222  " });
    expect(config.queueUrls).toEqual(["sqlite:/tmp/q.db", "nats://n:4222,m:4222"]);
    expect(await faultsOf("router", { FC_QUEUE_URL: "sqlite:q.db sqlite:q.db" })).toEqual([
      expect.stringMatching(/^FC_QUEUE_URL .*names an address twice/),
    ]);
  });

  test("are refused with the key's name and without a password when one of them is wrong", async () => {
    const [fault, ...others] = await faultsOf("router", {
      FC_QUEUE_URL: "sqlite:q.db carrier-pigeon://me:hunter2@loft",
    });
    expect(others).toEqual([]);
    expect(fault).toContain("FC_QUEUE_URL");
    expect(fault).not.toContain("hunter2");
  });

  test("are printed without their passwords", async () => {
    const env = { FC_QUEUE_URL: "nats://me:hunter2@n:4222 amqp://you:hunter3@a" };
    const loaded = await loadProcessConfig("router", { env, facts });
    const entry = loaded.entries.find(({ key }) => key === "FC_QUEUE_URL");
    expect(entry?.value).toBe("nats://me:********@n:4222 amqp://you:********@a");
  });

  test("`nats` is that of NATS_URL, or the one on this machine", async () => {
    const config = await load("dev", { FC_QUEUE_URL: "nats" });
    expect(queueUrlsOf(config)).toEqual(["nats://127.0.0.1:4222"]);
    expect(queueUrlsOf(await load("dev", { FC_QUEUE_URL: "nats", NATS_URL: "nats://n" }))).toEqual(["nats://n"]);
  });

  test("are needed by a router unless it is told of them", async () => {
    const told = { FC_ROUTER_CONFIG_URL: "http://a/config, http://b/config" };
    expect(await load("router", told)).toMatchObject({
      queueUrls: [],
      routerConfigUrls: ["http://a/config", "http://b/config"],
    });
    expect((await load("router", { ...told, ...postgres })).queueUrls).toEqual(["db:"]);
    expect((await faultsOf("router", { ...told, FC_QUEUE_URL: "db:" })).join()).toContain("needs FC_DATABASE_URL");
  });

  test("on SQS are asked more than one question at a time", async () => {
    const connections = async (queue: string) => (await load("router", { FC_QUEUE_URL: queue })).routerQueueConnections;
    expect(await connections("sqs://eu-west-1/q")).toBe(4);
    expect(await connections("nats://n")).toBe(1);
  });
});

describe("services of their own", () => {
  test("share a PostgreSQL database; a file is for one process", async () => {
    for (const name of ["platform", "stream", "scheduler"] as const) {
      expect((await faultsOf(name, { FC_APP_KEY: "a-key" })).join()).toContain("must be postgres://");
      expect(await faultsOf(name, postgres)).toEqual([]);
    }
    expect((await faultsOf("router", { FC_DATABASE_URL: "sqlite:x.db" })).join()).toContain("must be postgres://");
    expect((await faultsOf("scheduler", { ...postgres, FC_QUEUE_URL: "sqlite:q.db" })).join()).toContain("is a file");
  });

  test("that see secrets need the key they are sealed with", async () => {
    const { FC_DATABASE_URL } = postgres;
    for (const name of ["platform", "router"] as const) {
      expect((await faultsOf(name, { FC_DATABASE_URL })).join()).toMatch(/FC_APP_KEY.*openssl rand -base64 32/);
    }
    for (const name of ["stream", "scheduler", "dev", "migrate"] as const) {
      expect(await faultsOf(name, { FC_DATABASE_URL })).toEqual([]);
    }
    expect(await faultsOf("router", { FC_QUEUE_URL: "sqlite:q.db" })).toEqual([]);
  });
});

describe("access", () => {
  test("another address than loopback needs tokens", async () => {
    expect((await faultsOf("dev", { FC_HOST: "0.0.0.0" })).join()).toContain("FC_HOST");
    const config = await load("dev", { FC_HOST: "0.0.0.0", FC_API_TOKENS: "one-token,another" });
    expect(config).toMatchObject({ authMode: "token", apiTokens: ["one-token", "another"] });
    for (const host of ["::1", "localhost"]) expect(await faultsOf("dev", { FC_HOST: host })).toEqual([]);
  });

  test("modes that are not built, or contradict the tokens, are refused", async () => {
    for (const mode of ["embedded", "remote"]) {
      expect((await faultsOf("platform", { FC_AUTH_MODE: mode })).join()).toContain("not built yet");
    }
    expect(await faultsOf("platform", { ...postgres, FC_AUTH_MODE: "token" })).toHaveLength(1);
    expect(await faultsOf("platform", { ...postgres, AUTH_MODE: "none", FC_API_TOKENS: "one-token" })).toHaveLength(1);
  });
});

test("ports of one process differ, but may all be free ones", async () => {
  expect(await faultsOf("dev", { FC_ROUTER_PORT: "8080" })).toHaveLength(1);
  expect(await faultsOf("dev", { FC_METRICS_PORT: "8081" })).toHaveLength(1);
  expect(await faultsOf("dev", { FC_API_PORT: "0", FC_ROUTER_PORT: "0", FC_METRICS_PORT: "0" })).toEqual([]);
});

test("a lease must outlive a missed renewal", async () => {
  const env = { ...postgres, FC_STANDBY_REFRESH_INTERVAL_SECS: "16" };
  expect((await faultsOf("router", env)).join()).toContain("half of FC_STANDBY_LOCK_TTL_SECS");
});

test("a lease is kept in Redis or in the database: one of them must be named", async () => {
  const on = { FC_QUEUE_URL: "sqlite:queue.db", FC_STANDBY_ENABLED: "1" };
  expect((await faultsOf("router", on)).join()).toContain("FC_STANDBY_REDIS_URL or FC_DATABASE_URL");
  expect(await faultsOf("router", { ...on, FC_STANDBY_REDIS_URL: "redis://redis:6379" })).toEqual([]);
});

test("a process that starts gets every fault in one error", async () => {
  const env = { FC_API_PORT: "x", FC_NOTHING_KNOWN: "1" };
  const error: unknown = await requireProcessConfig("dev", { env, facts }).catch((fault: unknown) => fault);
  expect(isCodedError(error, "CONFIG_INVALID")).toBe(true);
  expect(String(error)).toContain("FC_API_PORT");
  expect(String(error)).toContain("FC_NOTHING_KNOWN");
});

test("a setting means the same wherever it is read: only defaults may differ between processes", () => {
  const seen = new Map<string, string>();
  for (const { schema } of namedSchemas()) {
    for (const setting of Object.values(schema.settings)) {
      const facet = { description: setting.description, allowed: setting.kind.describe, aliases: setting.aliases };
      const text = JSON.stringify({ key: setting.key, ...facet });
      expect(text).toBe(seen.get(setting.key) ?? text);
      seen.set(setting.key, text);
    }
  }
  expect(seen.size).toBeGreaterThan(40);
});
