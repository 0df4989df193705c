import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configInvalid, describeFault } from "./config-fault.ts";
import { renderConfigReference } from "./config-reference.ts";
import { defineConfig, flagOf, knownKeysOf } from "./config-schema.ts";
import { describeConfig, loadConfig, type LoadOptions } from "./load-config.ts";
import { bool, choice, int, list, port, text, url, urls } from "./setting.ts";

const schema = defineConfig({
  prefix: "FC_",
  separator: "_",
  settings: {
    dataDir: text({ key: "DATA_DIR", description: "Data.", default: "./data", aliases: ["DATA_DIR"] }),
    databaseUrl: url({
      key: "DATABASE_URL",
      description: "Database.",
      schemes: ["sqlite", "postgres"],
      default: ({ get }) => `sqlite:${String(get("dataDir"))}/fc.db`,
      defaultText: "in the data directory",
    }),
    apiPort: port({ key: "API_PORT", description: "API.", default: 8080, aliases: ["HTTP_PORT", "PORT"] }),
    poolConcurrency: int({
      key: "ROUTER_POOL_CONCURRENCY",
      section: "Router",
      description: "Calls | at once.",
      default: 10,
      min: 1,
      max: 100,
      aliases: ["POOL_CONCURRENCY", "FC_POOL_SIZE"],
    }),
    standby: bool({ key: "STANDBY_ENABLED", description: "Standby.", default: false }),
    logLevel: choice(["debug", "info"], {
      key: "LOG_LEVEL",
      description: "Level.",
      default: "info",
      aliases: [{ name: "RUST_LOG", read: (value) => value.split(",")[0] }],
    }),
    tokens: list({ key: "API_TOKENS", description: "Tokens.", default: ["dev-token"], secret: true }),
    mode: choice(["none", "token"], {
      key: "AUTH_MODE",
      description: "Mode.",
      default: ({ get }) => ((get("tokens") as readonly string[]).length > 0 ? "token" : "none"),
    }),
    instance: text({ key: "INSTANCE", description: "Name.", default: ({ facts }) => `${facts.hostName}:${facts.pid}` }),
    note: text({ key: "NOTE", description: "Optional." }),
  },
  rules: [
    (config) =>
      config.standby && config.apiPort === 0
        ? { property: "apiPort", reason: "must be fixed with standby" }
        : undefined,
  ],
});

const facts = { isTerminal: false, hostName: "box", pid: 7 };
const load = (options: Partial<LoadOptions> = {}) => loadConfig(schema, { env: {}, facts, ...options });

async function loaded(options: Partial<LoadOptions> = {}) {
  const result = await load(options);
  if (result.kind === "faulty") throw configInvalid(result.faults);
  return result.config;
}

async function faultsOf(options: Partial<LoadOptions>): Promise<string[]> {
  const result = await load(options);
  return result.kind === "faulty" ? result.faults.map(describeFault) : [];
}

const dirs: string[] = [];
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});
function file(name: string, content: string): string {
  const dir = mkdtempSync(join(tmpdir(), "fc-config-"));
  dirs.push(dir);
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
}

describe("values", () => {
  test("defaults, also those that depend on other settings or on the machine", async () => {
    expect(await loaded()).toEqual({
      dataDir: "./data",
      databaseUrl: "sqlite:./data/fc.db",
      apiPort: 8080,
      poolConcurrency: 10,
      standby: false,
      logLevel: "info",
      tokens: ["dev-token"],
      mode: "token",
      instance: "box:7",
      note: undefined,
    });
    expect(await loaded({ env: { FC_DATA_DIR: "/var/fc", FC_API_TOKENS: "" } })).toMatchObject({
      databaseUrl: "sqlite:/var/fc/fc.db",
      tokens: [],
      mode: "none",
    });
  });

  test("the types of the configuration follow from the settings", async () => {
    const config = await loaded();
    const typed: {
      dataDir: string;
      apiPort: number;
      standby: boolean;
      logLevel: "debug" | "info";
      tokens: readonly string[];
      note: string | undefined;
    } = config;
    // These two compile only if absence is in the type of what has no default, and a required text is not optional.
    const noteMayBeAbsent: undefined extends typeof config.note ? true : false = true;
    const dataDirMayBeAbsent: undefined extends typeof config.dataDir ? true : false = false;
    expect([noteMayBeAbsent, dataDirMayBeAbsent]).toEqual([true, false]);
    expect(typed.apiPort).toBe(8080);
  });

  test("flags win over the environment, that over later files, those over earlier ones", async () => {
    const first = file("a.toml", 'api_port = 1\ndata_dir = "a"\nnote = "a"\n[router]\npool_concurrency = 1\n');
    const second = file("b.yaml", "api_port: 2\nrouter:\n  pool_concurrency: 2\nnote: b\n");
    const env = { FC_ROUTER_POOL_CONCURRENCY: "3", FC_NOTE: "env" };
    const result = await load({ files: [first, second], env, flags: { note: "flag", mode: undefined } });
    expect(result.kind).toBe("loaded");
    const sources = Object.fromEntries(describeConfig(result).map((entry) => [entry.property, entry]));
    expect(sources["dataDir"]).toMatchObject({ value: "a", source: first });
    expect(sources["apiPort"]).toMatchObject({ value: "2", source: second, key: "FC_API_PORT" });
    expect(sources["poolConcurrency"]).toMatchObject({
      value: "3",
      source: "environment FC_ROUTER_POOL_CONCURRENCY",
      section: "Router",
    });
    expect(sources["note"]).toMatchObject({ value: "flag", source: "flag --note" });
    expect(sources["standby"]).toMatchObject({ value: "false", source: "default" });
  });

  test.each([
    ["1", true],
    ["TRUE", true],
    ["Yes", true],
    ["on", true],
    ["0", false],
    ["false", false],
    ["no", false],
    ["OFF", false],
  ])("%s is a boolean", async (written, value) => {
    expect((await loaded({ env: { FC_STANDBY_ENABLED: written } })).standby).toBe(value);
  });

  test("aliases count, also translated ones and those with our prefix in a file", async () => {
    const env = { PORT: "9", RUST_LOG: "debug,hyper=info" };
    const files = [file("x.yml", "pool_size: 5\n")];
    expect(await loaded({ env, files })).toMatchObject({ apiPort: 9, logLevel: "debug", poolConcurrency: 5 });
    expect((await loaded({ env: { FC_API_PORT: "9", HTTP_PORT: "9", PORT: "9" } })).apiPort).toBe(9);
  });

  test("an empty text is the absence of a value", async () => {
    expect(await loaded({ env: { FC_API_PORT: "", FC_NOTE: " " } })).toMatchObject({ apiPort: 8080, note: undefined });
  });
});

describe("files", () => {
  test("lists, numbers, dashes in names and values from the environment", async () => {
    const toml = file(
      "x.toml",
      [
        'api-tokens = ["one", "${SECOND}"]',
        "standby_enabled = true",
        'FC_NOTE = "n"',
        'database_url = "postgres://u:${PW}@db/x"',
      ].join("\n"),
    );
    expect(await loaded({ files: [toml], env: { SECOND: "two", PW: "pw" } })).toMatchObject({
      tokens: ["one", "two"],
      standby: true,
      note: "n",
      databaseUrl: "postgres://u:pw@db/x",
    });
  });

  test("an empty file is no fault", async () => {
    expect(await load({ files: [file("x.yaml", ""), file("x.toml", "")] })).toMatchObject({ kind: "loaded" });
  });

  test("every other fault of a file is told with its path", async () => {
    const cases: [string, string, RegExp][] = [
      ["x.toml", "a = = 1", /x\.toml: /],
      ["x.yaml", "a: [1", /x\.yaml: /],
      ["x.yaml", "- 1\n- 2\n", /must hold a table/],
      ["x.json", "{}", /ending \.json is unknown/],
      ["x.toml", 'note = "${NOT_THERE}"', /FC_NOTE .*refers to NOT_THERE/],
      ["x.yaml", "api_tokens: [[1]]", /must be a flat list/],
      ["x.toml", "[router]\npool_concurency = 1", /did you mean FC_ROUTER_POOL_CONCURRENCY/],
    ];
    for (const [name, content, expected] of cases) {
      expect((await faultsOf({ files: [file(name, content)] })).join("\n")).toMatch(expected);
    }
    expect((await faultsOf({ files: ["/nowhere/x.toml"] })).join()).toMatch(/\/nowhere\/x\.toml: .*ENOENT/);
  });

  test("prefix and separator are those of the schema", async () => {
    const other = defineConfig({
      prefix: "OAAS_",
      separator: "__",
      settings: { poolSize: int({ key: "ROUTER__POOL_SIZE", description: "Pool.", default: 1 }) },
    });
    const files = [
      file("default.yaml", "router:\n  pool_size: 2\n"),
      file("production.yaml", "router: {pool_size: 3}"),
    ];
    const result = await loadConfig(other, { env: { FC_ANYTHING: "1" }, facts, files });
    expect(result).toMatchObject({ kind: "loaded", config: { poolSize: 3 } });
    const env = { OAAS_ROUTER__POOL_SIZE: "4" };
    expect(await loadConfig(other, { env, facts, files })).toMatchObject({ config: { poolSize: 4 } });
  });
});

describe("faults", () => {
  test("all are told together, each with name and place, and the settings are listed all the same", async () => {
    const env = {
      FC_API_PORT: "http",
      FC_ROUTER_POOL_CONCURRENCY: "101",
      FC_STANDBY_ENABLED: "maybe",
      FC_LOG_LEVEL: "loud",
      FC_DATABASE_URL: "oracle://x",
      FC_DATBASE_URL: "x",
    };
    const result = await load({ env });
    if (result.kind !== "faulty") throw new Error("accepted");
    expect(result.faults.map((fault) => fault.key).toSorted()).toEqual(Object.keys(env).toSorted());
    expect(result.faults.every((fault) => fault.source.startsWith("environment"))).toBe(true);
    expect(result.entries).toHaveLength(Object.keys(schema.settings).length);
    const error = configInvalid(result.faults);
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message.split("\n")).toHaveLength(7);
  });

  test.each(["1.5", "ten", "0x10", "1e2", "-1", "0", "101", "99999999999999999999", "NaN"])(
    "%s is refused as a number from 1 to 100",
    async (written) => {
      const faults = await faultsOf({ env: { FC_ROUTER_POOL_CONCURRENCY: written } });
      expect(faults).toEqual([
        "FC_ROUTER_POOL_CONCURRENCY (environment FC_ROUTER_POOL_CONCURRENCY): " +
          `must be a whole number from 1 to 100 (it is "${written}")`,
      ]);
    },
  );

  test("a key nobody knows is refused with the nearest name, or without one", async () => {
    expect(await faultsOf({ env: { FC_API_PROT: "1" } })).toEqual([
      "FC_API_PROT (environment): is not a known setting; did you mean FC_API_PORT?",
    ]);
    expect(await faultsOf({ env: { FC_ZZZZZZZZZZZZZZZZ: "1" } })).toEqual([
      "FC_ZZZZZZZZZZZZZZZZ (environment): is not a known setting",
    ]);
  });

  test("keys of other processes, of tests and of strangers are left alone", async () => {
    const env = { FC_OUTBOX_BATCH_SIZE: "1", FC_TEST_ANYTHING: "1", HOME: "/root", FCX: "1" };
    expect(await load({ env, knownKeys: ["FC_OUTBOX_BATCH_SIZE"] })).toMatchObject({ kind: "loaded" });
  });

  test("Kubernetes service links are explained", async () => {
    const links = {
      FC_API_PORT: "tcp://10.0.0.1:8080",
      FC_ROUTER_SERVICE_HOST: "10.0.0.2",
      FC_ROUTER_PORT_8081_TCP_ADDR: "10.0.0.2",
    };
    const faults = await faultsOf({ env: links });
    expect(faults).toHaveLength(3);
    for (const fault of faults) expect(fault).toContain("enableServiceLinks: false");
  });

  test("two names for one setting with different values are refused, but not across sources", async () => {
    const faults = await faultsOf({ env: { FC_API_PORT: "1", PORT: "2" } });
    expect(faults).toEqual([
      "FC_API_PORT (environment): FC_API_PORT and PORT are two names for one setting and have different values; " +
        "keep one",
    ]);
    const files = [file("x.toml", "pool_size = 5")];
    expect((await loaded({ files, env: { POOL_CONCURRENCY: "6" } })).poolConcurrency).toBe(6);
  });

  test("a bad flag and an unknown one", async () => {
    expect(await faultsOf({ flags: { apiPort: "x", apiPrt: "1" } })).toEqual([
      "--api-prt (command line): is not a known flag",
      '--api-port (flag --api-port): must be a port from 0 to 65535 (0: any free one) (it is "x")',
    ]);
  });

  test("a rule over several settings counts when each of them is valid, whatever else is not", async () => {
    const env = { FC_STANDBY_ENABLED: "1", FC_API_PORT: "0" };
    const breach = "FC_API_PORT (environment FC_API_PORT): must be fixed with standby";
    expect(await faultsOf({ env })).toEqual([breach]);
    expect(await faultsOf({ env: { ...env, FC_LOG_LEVEL: "x" } })).toEqual([
      expect.stringContaining("FC_LOG_LEVEL"),
      breach,
    ]);
    expect(await faultsOf({ env: { ...env, FC_STANDBY_ENABLED: "x" } })).toEqual([
      expect.stringContaining("FC_STANDBY_ENABLED"),
    ]);
  });

  test("a required setting that is missing", async () => {
    const strict = defineConfig({
      prefix: "FC_",
      separator: "_",
      settings: { target: url({ key: "TARGET", description: "T.", schemes: ["https"], required: true }) },
    });
    expect(await loadConfig(strict, { env: {}, facts })).toMatchObject({
      faults: [{ key: "FC_TARGET", source: "not set", reason: "is required" }],
    });
    const result = await loadConfig(strict, { env: { FC_TARGET: "https://x" }, facts });
    if (result.kind === "loaded") {
      const target: string = result.config.target;
      expect(target).toBe("https://x");
    }
    expect(result.kind).toBe("loaded");
  });
});

describe("printing", () => {
  test("a secret that is not set does not look as if it were", async () => {
    const entries = describeConfig(await load({ env: { FC_API_TOKENS: "" } }));
    expect(entries.find(({ property }) => property === "tokens")?.value).toBe("");
  });

  test("secrets are masked everywhere, and passwords in addresses too", async () => {
    const result = await load({
      env: { FC_API_TOKENS: "hunter2", FC_DATABASE_URL: "postgres://me:hunter2@db:5432/fc" },
    });
    expect(JSON.stringify(describeConfig(result))).not.toContain("hunter2");
    const entries = Object.fromEntries(describeConfig(result).map((entry) => [entry.property, entry.value]));
    expect(entries["tokens"]).toBe("********");
    expect(entries["databaseUrl"]).toBe("postgres://me:********@db:5432/fc");
  });

  test("of an address with several hosts each password is masked, and each token", () => {
    const setting = urls({ key: "QUEUE_URL", description: "Queues.", schemes: ["nats", "https"] });
    for (const address of [
      "nats://me:hunter2@a:4222,me:hunter3@b:4222",
      "nats://hunter2@a:4222,hunter3@b:4222",
      "nats://hunter2@a,hunter3@b https://c/config?token=hunter4",
    ]) {
      expect(setting.kind.print(address.split(" "))).not.toContain("hunter");
    }
  });

  test("faults never print a secret", async () => {
    const strict = defineConfig({
      prefix: "FC_",
      separator: "_",
      settings: { pin: int({ key: "PIN", description: "Pin.", secret: true }) },
    });
    const result = await loadConfig(strict, { env: { FC_PIN: "hunter2" }, facts });
    expect(JSON.stringify(result)).not.toContain("hunter2");
  });

  test("an address that is not well formed is shown without its password, whatever is in that", async () => {
    for (const password of ["hunter2", "hunter2/x", "hun:ter2@x", "hunter2#"]) {
      const [fault] = await faultsOf({ env: { FC_DATABASE_URL: `postgres://me:${password}@db:port/fc` } });
      expect(fault).toContain("postgres://me:********@db:port/fc");
      expect(fault).not.toContain("ter2");
    }
    const [fault] = await faultsOf({ env: { FC_DATABASE_URL: "postgres://me:hunter2#x@db:5432/fc" } });
    expect(fault).toContain("is not a well-formed address; characters such as");
    expect(fault).not.toContain("ter2");
    const asQuery = "postgres://db/fc?sslmode=require&password=hunter2";
    expect(await faultsOf({ env: { FC_API_PORT: asQuery } })).toEqual([
      expect.stringContaining("postgres://db/fc?sslmode=require&password=********"),
    ]);
    const entries = describeConfig(await load({ env: { FC_DATABASE_URL: asQuery } }));
    expect(JSON.stringify(entries)).not.toContain("hunter2");
  });

  test("an address whose host would be a part of its password is refused", async () => {
    for (const password of ["12/hunter2", "12?hunter2", "12/x?hunter2", "to/ken/hunter2"]) {
      for (const user of ["me:", ""]) {
        const address = `postgres://${user}${password}@db:5432/fc`;
        const [fault = ""] = await faultsOf({ env: { FC_DATABASE_URL: address } });
        expect(fault).toContain("are written as %2F, %40 and %23");
        expect(fault).not.toContain("hunter2");
      }
    }
    const escaped = "postgres://me:12%2Fhunter2%40@db:5432/fc?application_name=a%40b";
    expect(await faultsOf({ env: { FC_DATABASE_URL: escaped } })).toEqual([]);
  });

  test("of a text that is no address nothing is shown", async () => {
    for (const text of ["hunter2", "postgresql//me:hunter2@db/fc", "postgres:me:hunter2@db", "postgres:/hunter2"]) {
      const [fault = ""] = await faultsOf({ env: { FC_DATABASE_URL: text } });
      expect(fault).toContain("FC_DATABASE_URL");
      expect(fault).not.toContain("hunter2");
    }
  });

  test("the reference page has every setting once, with its readers", () => {
    const page = renderConfigReference([
      { process: "platform", schema },
      { process: "dev", schema },
    ]);
    for (const setting of Object.values(schema.settings)) {
      expect(page.split(`| \`FC_${setting.key}\` |`)).toHaveLength(2);
    }
    expect(page).toContain(
      "| `FC_ROUTER_POOL_CONCURRENCY` | `10` | whole number from 1 to 100 | `POOL_CONCURRENCY`, `FC_POOL_SIZE` " +
        "| platform, dev | Calls \\| at once. |",
    );
    expect(page).toContain("## Router");
    expect(page).not.toContain("dev-token");
  });
});

test("names: flags from properties, and every name a schema knows", () => {
  expect(flagOf("poolConcurrency")).toBe("--pool-concurrency");
  expect(knownKeysOf(schema)).toEqual(expect.arrayContaining(["FC_API_PORT", "PORT", "RUST_LOG", "FC_POOL_SIZE"]));
});
