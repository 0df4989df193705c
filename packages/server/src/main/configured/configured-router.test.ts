import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { openBench, until, type Bench, type RunningRouter } from "./configured-router.fixture.ts";

let bench: Bench;
beforeEach(() => {
  bench = openBench();
});
afterEach(() => bench.close());

const fileAt = (name: string): string => join(bench.folder, name);
const queueAt = (name: string): string => `sqlite:${fileAt(name)}`;
const named = (name: string): object => ({ queueName: name, queueUri: queueAt(`${name}.db`) });
const upTo = (count: number): string[] => Array.from({ length: count }, (_, n) => `m${n + 1}`);
const delivered = (): Set<string> => new Set(bench.target.ids);

async function readyReason(router: RunningRouter, check: string): Promise<string> {
  const found = (await router.ready()).checks.find(({ name }) => name === check);
  return `${found?.status} ${JSON.stringify(found?.data ?? {})}`;
}

function publish(router: RunningRouter, message: object) {
  const body = JSON.stringify({ target: bench.target.url, payload: {}, ...message });
  return router.call("/api/router/publish", { method: "POST", body });
}

describe("FC_ROUTER_CONFIG_URL", () => {
  test("the router waits until each address has answered, and readiness says for which", async () => {
    const [first, second] = [bench.configServer(), bench.configServer()];
    first.answer = () => Response.json({ processingPools: [], queues: [named("a")] });
    second.answer = () => new Response("", { status: 503 });
    await bench.fill(fileAt("a.db"), ["m1"]);
    const router = await bench.start({ FC_ROUTER_CONFIG_URL: `${first.url}, ${second.url}` }, false);
    await until("the fault", async () => (await readyReason(router, "configuration")).includes("answers 503"));
    expect(await readyReason(router, "configuration")).toContain(new URL(second.url).host);
    expect((await router.ready()).status).toBe("DOWN");
    expect(bench.target.ids).toEqual([]);
    second.answer = () => Response.json({ processing_pools: [{ code: "SLOW", concurrency: 2 }] });
    await until("the delivery", () => bench.target.ids.includes("m1"));
    await until("readiness", async () => (await router.ready()).status === "UP");
    expect((await router.pools())["SLOW"]).toMatchObject({ concurrency: 2 });
  });

  test("the token goes to the address and nowhere else", async () => {
    const [config, elsewhere] = [bench.configServer(), bench.configServer()];
    config.answer = () => Response.redirect(elsewhere.url, 302);
    const env = { FC_ROUTER_CONFIG_URL: config.url, FC_API_TOKEN: "a-token" };
    const router = await bench.start(env, false);
    await until("the refusal", async () => (await readyReason(router, "configuration")).includes("redirects"));
    expect(config.authorizations[0]).toBe("Bearer a-token");
    expect(elsewhere.authorizations).toEqual([]);
    expect(await readyReason(router, "configuration")).not.toContain("a-token");
  });

  test("pools change in place; of two answers about one pool the later address counts, with a warning", async () => {
    const [first, second] = [bench.configServer(), bench.configServer()];
    const pools = (...processingPools: object[]) => Response.json({ processingPools, queues: [] });
    first.answer = () => pools({ code: "BOTH", concurrency: 3 }, { code: "FIRST", concurrency: 4 });
    second.answer = () => pools({ code: "BOTH", concurrency: 5, rateLimitPerMinute: 60 });
    const env = { FC_QUEUE_URL: queueAt("own.db"), FC_ROUTER_CONFIG_URL: `${first.url} ${second.url}` };
    const router = await bench.start(env);
    expect(await router.pools()).toMatchObject({
      BOTH: { concurrency: 5, rateLimitPerMinute: 60 },
      FIRST: { concurrency: 4, rateLimitPerMinute: null },
    });
    const conflict = { category: "CONFIGURATION", severity: "WARN" };
    expect(await router.warnings()).toContainEqual(expect.objectContaining(conflict));
    first.answer = () => pools();
    second.answer = () => pools({ code: "BOTH", concurrency: 7 });
    await until("the change", async () => (await router.pools())["BOTH"]?.concurrency === 7);
    await until("the removal", async () => (await router.pools())["FIRST"]?.status !== "ACTIVE");
    await publish(router, { id: "m1", poolCode: "FIRST" });
    await until("the delivery through the default pool", () => bench.target.ids.includes("m1"));
    expect((await router.warnings()).filter(({ category }) => category === "ROUTING")).toHaveLength(1);
  });

  test("queues come and go while the router runs, and no message is lost", async () => {
    const config = bench.configServer();
    config.answer = () => Response.json({ queues: [named("a")] });
    await bench.fill(fileAt("a.db"), upTo(300));
    bench.target.answerAfterMs = 20;
    const router = await bench.start({ FC_QUEUE_URL: queueAt("own.db"), FC_ROUTER_CONFIG_URL: config.url });
    await until("some deliveries", () => bench.target.ids.length >= 50);
    config.answer = () => Response.json({ queues: [named("b")] });
    expect((await router.call("/config/reload", { method: "POST" })).status).toBe(200);
    await until("the exchange", async () => (await router.consumers()).join() === "sqlite,b");
    const left = await bench.left(fileAt("a.db"));
    expect(left).toBeGreaterThan(0);
    // What was delivered was acked before the queue was let go of, and the rest is there.
    expect(delivered().size + left).toBe(300);
    config.answer = () => Response.json({ queues: [named("a"), named("b")] });
    await until("the rest", () => delivered().size === 300);
    expect(bench.target.ids).toHaveLength(300);
  }, 30_000);

  test("a queue named otherwise than before is closed and opened again", async () => {
    const config = bench.configServer();
    config.answer = () => Response.json({ queues: [named("a")] });
    const router = await bench.start({ FC_ROUTER_CONFIG_URL: config.url });
    await until("the queue", async () => (await router.consumers()).join() === "a");
    await publish(router, { id: "m1" });
    await until("the first", () => bench.target.ids.includes("m1"));
    config.answer = () => Response.json({ queues: [{ ...named("a"), visibilityTimeout: 7 }] });
    await router.call("/config/reload", { method: "POST" });
    config.answer = () => Response.json({ queues: [{ queueName: "a", queueUri: queueAt("other.db") }] });
    await router.call("/config/reload", { method: "POST" });
    await until("the other file", async () => {
      await publish(router, { id: "m2" });
      return Bun.file(fileAt("other.db")).exists();
    });
    await until("the second", () => bench.target.ids.includes("m2"));
  });

  test("a queue that cannot be opened is tried again and shown, and the others go on", async () => {
    const config = bench.configServer();
    await Bun.write(fileAt("plain"), "no folder");
    const missing = { queueName: "none", queueUri: queueAt("plain/q.db") };
    config.answer = () => Response.json({ queues: [missing, { queueName: "db", queueUri: "db:" }, named("a")] });
    await bench.fill(fileAt("a.db"), ["m1"]);
    const router = await bench.start({ FC_ROUTER_CONFIG_URL: config.url });
    await until("the delivery", () => bench.target.ids.includes("m1"));
    await until("both faults", async () => /none: .*db: /.test(await readyReason(router, "queue")));
    expect(await readyReason(router, "queue")).toContain("FC_DATABASE_URL");
    const told = (await router.warnings()).filter(({ category }) => category === "QUEUE");
    expect(told.length).toBeGreaterThanOrEqual(2);
    config.answer = () => Response.json({ queues: [named("a")] });
    await until("readiness", async () => (await router.ready()).status === "UP");
  });

  test("may not name files, and what it names that is no address is not quoted", async () => {
    const config = bench.configServer();
    const garbage = ["garbage SECRETa@x", "SECRETb:SECRETc@x", "nats://me:SECRETd@n/a#b@c", "postgres:SECRETe@x"];
    const queues = garbage.map((queueUri, at) => ({ queueName: `garbage${at}`, queueUri }));
    config.answer = () => Response.json({ queues: [...queues, named("a"), { queueName: "b", queueUri: "SQLite:b" }] });
    const env = { FC_QUEUE_URL: queueAt("own.db"), FC_ROUTER_CONFIG_URL: config.url };
    const router = await bench.start(env, true, false);
    const faults = /garbage0: .*garbage1: .*garbage2: .*garbage3: .*a: is a file.*b: is a file/;
    await until("all faults", async () => faults.test(await readyReason(router, "queue")));
    const told = JSON.stringify([await router.warnings(), await router.ready()]);
    expect(told).toContain("must begin with a scheme");
    expect(told).not.toContain("SECRET");
    expect(await Bun.file(fileAt("a.db")).exists()).toBe(false);
  });

  test("an answer that is too deep cannot be read, which is not the line's fault", async () => {
    const config = bench.configServer();
    config.answer = () => new Response(`${"[".repeat(200_000)}${"]".repeat(200_000)}`);
    const router = await bench.start({ FC_ROUTER_CONFIG_URL: config.url }, false);
    await until("the fault", async () => (await readyReason(router, "configuration")).includes("answers what"));
    expect(await readyReason(router, "configuration")).not.toContain("cannot be reached");
  });

  test("an address that fails, or answers nonsense, keeps what it said last", async () => {
    const config = bench.configServer();
    config.answer = () => Response.json({ processingPools: [{ code: "A", concurrency: 3 }], queues: [named("a")] });
    const router = await bench.start({ FC_ROUTER_CONFIG_URL: config.url });
    await until("the queue", async () => (await router.consumers()).join() === "a");
    const bad = [
      () => new Response("no JSON"),
      () => Response.json({ processingPools: [{ code: "A", concurrency: -1 }] }),
      () => new Response("", { status: 500 }),
    ];
    for (const answer of bad) {
      config.answer = answer;
      const { status, body } = await router.call<{ detail: string }>("/config/reload", { method: "POST" });
      expect([status, body.detail]).toEqual([503, expect.stringContaining(config.url)]);
      expect((await router.pools())["A"]?.concurrency).toBe(3);
      expect(await router.consumers()).toEqual(["a"]);
      expect(await readyReason(router, "configuration")).toStartWith("UP");
    }
    expect((await router.warnings()).filter(({ category }) => category === "CONFIGURATION")).toHaveLength(bad.length);
  });

  test("queues of the setting and of the address are received from together, each once", async () => {
    const config = bench.configServer();
    config.answer = () => Response.json({ queues: [{ queueName: "twin", queueUri: queueAt("own.db") }, named("a")] });
    for (const name of ["own", "second", "a"]) await bench.fill(fileAt(`${name}.db`), [`in-${name}`]);
    const env = {
      FC_QUEUE_URL: `${queueAt("own.db")} ${queueAt("second.db")}`,
      FC_ROUTER_CONFIG_URL: config.url,
    };
    const router = await bench.start(env);
    await until("one of each", () => bench.target.ids.length === 3);
    expect(bench.target.ids.toSorted()).toEqual(["in-a", "in-own", "in-second"]);
    expect(await router.consumers()).toEqual(["sqlite", "sqlite-2", "a"]);
    await publish(router, { id: "published" });
    await router.stop();
    const own = await bench.left(fileAt("own.db"));
    expect(own + bench.target.ids.filter((id) => id === "published").length).toBe(1);
  });

  test("its pools are laid over those of a platform, but for an address that is the platform's own", async () => {
    const [platform, other] = [bench.configServer(), bench.configServer()];
    const pool = (code: string, concurrency: number) => ({ code, concurrency, rateLimitPerMinute: null });
    platform.answer = (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/api/config/router") return Response.json({ processingPools: [pool("A", 3), pool("B", 3)] });
      return Response.json(controlState(["A", "B", "C"], 7));
    };
    other.answer = () => Response.json({ processingPools: [pool("B", 4)], queues: [named("a")] });
    const router = await bench.start({
      FC_API_BASE_URL: new URL(platform.url).origin,
      FC_ROUTER_CONFIG_URL: `${platform.url} ${other.url}`,
    });
    expect(await router.pools()).toMatchObject({
      A: { concurrency: 7, rateLimitPerMinute: 70 },
      B: { concurrency: 4, rateLimitPerMinute: null },
      C: { concurrency: 7, rateLimitPerMinute: 70 },
    });
    await until("the queue", async () => (await router.consumers()).join() === "a");
  });
});

/** As `GET /api/router/control` answers; a long poll is answered at once. */
function controlState(codes: readonly string[], concurrency: number): object {
  const at = new Date(0).toISOString();
  const rest = {
    name: null,
    clientId: null,
    burst: null,
    timeoutSeconds: null,
    version: 1,
    createdAt: at,
    updatedAt: at,
  };
  const pools = codes.map((code) => {
    return { id: `pool_${code}`, code, concurrency, rateLimitPerMinute: 70, status: "ACTIVE", ...rest };
  });
  return { revision: 1, pools, pausedSubscriptions: [], cancelledJobs: [] };
}
