import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { openBench, until, type Bench, type RunningRouter } from "./configured-router.fixture.ts";
import { poolsFileLimits, readPoolsFile } from "./pools-file.ts";

let bench: Bench;
beforeEach(() => {
  bench = openBench();
});
afterEach(() => bench.close());

const secretText = (name: string): string =>
  `whsec_${Buffer.from(`${name} is a secret of the test`).toString("base64")}`;
const env = { BILLING: secretText("billing"), FALLBACK: secretText("default") };

function write(text: string, name = "pools.toml"): string {
  const path = join(bench.folder, name);
  writeFileSync(path, text);
  return path;
}

async function faultsOf(text: string, name?: string): Promise<readonly string[]> {
  const path = write(text, name);
  const read = await readPoolsFile(path, env);
  if (read.kind === "read") return [];
  expect(read.faults.every(({ source }) => source === path)).toBe(true);
  return read.faults.map(({ key, reason }) => `${key}: ${reason}`);
}

function start(path: string): Promise<RunningRouter> {
  const queue = `sqlite:${join(bench.folder, "queue.db")}`;
  return bench.start({ FC_QUEUE_URL: queue, FC_ROUTER_POOLS_PATH: path, ...env });
}

async function publish(router: RunningRouter, message: object): Promise<void> {
  const body = JSON.stringify({ target: bench.target.url, payload: {}, ...message });
  expect((await router.call("/api/router/publish", { method: "POST", body })).status).toBe(201);
}

const good = `
[[pools]]
code = "FAST"
concurrency = 3
rate_limit_per_minute = 600
burst = 5
timeout_seconds = 9

[[pools]]
code = "slow"
concurrency = 1
rateLimitPerMinute = 60

[secrets]
billing_2 = "\${BILLING}"
default = "\${FALLBACK}"
`;

describe("the file", () => {
  test("is TOML or YAML, its names in either spelling; references of secrets stay as they are", async () => {
    const toml = await readPoolsFile(write(good), env);
    const yaml = await readPoolsFile(
      write(
        "pools:\n  - {code: FAST, concurrency: 3, rateLimitPerMinute: 600, burst: 5, timeout_seconds: 9}\n" +
          "  - {code: slow, concurrency: 1, rate_limit_per_minute: 60}\n" +
          "secrets: {billing_2: '${BILLING}', default: ['${FALLBACK}']}\n",
        "pools.yaml",
      ),
      env,
    );
    expect(yaml).toEqual(toml);
    expect(toml).toMatchObject({ kind: "read" });
    if (toml.kind === "read") expect([...toml.file.secrets.keys()]).toEqual(["billing_2", "default"]);
  });

  test("tells all faults at once, with file and place, and no value of a secret", async () => {
    const faults = await faultsOf(
      `[[pools]]\ncode = "A"\nconcurrency = 0\nspeed = 3\n[secrets]\na = "hunter2!"\nb = "\${NOBODY}"\n[other]\n`,
    );
    expect(faults.join("\n")).not.toContain("hunter2");
    const places = faults.map((fault) => fault.slice(0, fault.indexOf(":"))).toSorted();
    expect(places).toEqual(["", "pools[0]", "pools[0].concurrency", "secrets.a", "secrets.b"]);
    expect(faults.join("\n")).toContain("NOBODY");
    expect(await faultsOf(`[[pools]]\ncode = "A"\n[[pools]]\ncode = "A"\n`)).toEqual([
      "pools: has two pools of the code A",
    ]);
    expect((await faultsOf(`[secrets]\na = "whsec_abc\n`)).join()).not.toContain("whsec_abc");
    expect(await faultsOf("", "pools.json")).toEqual([expect.stringContaining(".toml")]);
    const missing = await readPoolsFile(join(bench.folder, "none.toml"), env);
    expect(missing).toMatchObject({ kind: "faulty", faults: [{ source: join(bench.folder, "none.toml") }] });
  });

  test("is a file of a bounded size: a pipe, a folder or a device is a fault, and nobody waits for it", async () => {
    const at = (name: string): string => join(bench.folder, name);
    expect(Bun.spawnSync(["mkfifo", at("pipe.toml")]).exitCode).toBe(0);
    symlinkSync("/dev/zero", at("zero.toml"));
    symlinkSync(at("pipe.toml"), at("link.yaml"));
    mkdirSync(at("folder.toml"));
    for (const name of ["pipe.toml", "zero.toml", "link.yaml", "folder.toml"]) {
      const faults = [{ key: "", source: at(name), reason: expect.stringContaining("is no regular file") }];
      expect(await readPoolsFile(at(name), env)).toEqual({ kind: "faulty", faults });
    }
    const large = await faultsOf(`#${"x".repeat(poolsFileLimits.maxBytes)}`);
    expect(large).toEqual([expect.stringContaining(`more than ${poolsFileLimits.maxBytes} bytes`)]);
    symlinkSync(write(good, "real.toml"), at("good.toml"));
    expect(await readPoolsFile(at("good.toml"), env)).toMatchObject({ kind: "read" });
  });

  test("with faults keeps a router from starting", async () => {
    const starting = start(write(`[[pools]]\nconcurrency = 1\nspeed = 3\n`));
    const error: unknown = await starting.catch((fault: unknown) => fault);
    expect(error).toMatchObject({ code: "CONFIG_INVALID" });
    expect(String(error)).toContain("pools[0].code");
    expect(String(error)).toContain("speed");
  });
});

describe("a router with it", () => {
  test("has its pools, and signs with its secrets: the one that is named, else the default one", async () => {
    const router = await start(write(good));
    expect(await router.pools()).toMatchObject({
      FAST: { concurrency: 3, rateLimitPerMinute: 600 },
      slow: { concurrency: 1, rateLimitPerMinute: 60 },
    });
    await publish(router, { id: "m1", secretRef: "billing_2", payload: "{}" });
    await publish(router, { id: "m2", payload: "{}" });
    await until("both", () => bench.target.ids.length === 2);
    const signedBy = (id: string): string[] =>
      Object.entries(env).flatMap(([name, secret]) => {
        const given = bench.target.signatures.get(id) ?? "";
        return isSignedBy(secret, id, given) ? [name] : [];
      });
    expect(signedBy("m1")).toEqual(["BILLING"]);
    expect(signedBy("m2")).toEqual(["FALLBACK"]);
    await publish(router, { id: "m3", secretRef: "nobody" });
    await until("the warning", async () => (await router.warnings()).some(({ category }) => category === "SECRET"));
    expect(bench.target.ids).toHaveLength(2);
  });

  test("takes a change that a look or a reload finds, and none from a file with faults", async () => {
    const path = write(good);
    const router = await start(path);
    write(good.replace("concurrency = 3", "concurrency = 4"));
    await until("the look", async () => (await router.pools())["FAST"]?.concurrency === 4);
    write(good.replace("concurrency = 3", "concurrency = 5"));
    expect((await router.call("/config/reload", { method: "POST" })).status).toBe(200);
    expect((await router.pools())["FAST"]?.concurrency).toBe(5);
    write("[[pools]]\nspeed = 3\n");
    const { status, body } = await router.call<{ errors: object[] }>("/config/reload", { method: "POST" });
    expect(status).toBe(400);
    expect(body.errors.length).toBeGreaterThanOrEqual(2);
    expect((await router.pools())["FAST"]?.concurrency).toBe(5);
    const warning = (await router.warnings()).find(({ category }) => category === "CONFIGURATION");
    expect(warning).toMatchObject({ severity: "ERROR", message: expect.stringContaining(path) });
    write(good);
    utimesSync(path, new Date(), new Date(1));
    await until("the file made good", async () => (await router.pools())["FAST"]?.concurrency === 3);
  });

  test("that becomes a pipe: the reload says so, and the file is followed when it is one again", async () => {
    const path = write(good);
    const router = await start(path);
    rmSync(path);
    expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
    const { status, body } = await router.call<{ detail: string }>("/config/reload", { method: "POST" });
    expect([status, JSON.stringify(body)]).toEqual([400, expect.stringContaining("is no regular file")]);
    rmSync(path);
    write(good.replace("concurrency = 3", "concurrency = 4"));
    await until("the look", async () => (await router.pools())["FAST"]?.concurrency === 4);
  });

  test("and told by an address too, the file counts", async () => {
    const config = bench.configServer();
    const pools = [
      { code: "FAST", concurrency: 9 },
      { code: "TOLD", concurrency: 2 },
    ];
    config.answer = () => Response.json({ processingPools: pools });
    const queue = `sqlite:${join(bench.folder, "queue.db")}`;
    const told = { FC_ROUTER_POOLS_PATH: write(good), FC_ROUTER_CONFIG_URL: config.url };
    const router = await bench.start({ FC_QUEUE_URL: queue, ...told, ...env });
    expect(await router.pools()).toMatchObject({ FAST: { concurrency: 3 }, TOLD: { concurrency: 2 } });
  });
});

/** By the scheme's own library, with the time that stands in the signature's request left out. */
function isSignedBy(secret: string, id: string, given: string): boolean {
  const nowSeconds = Math.floor(Date.now() / 1_000);
  return [0, 1, 2, 3].some((age) => {
    const at = new Date((nowSeconds - age) * 1_000);
    return new Webhook(secret).sign(id, at, "{}") === given;
  });
}
