import { describe, expect, test } from "bun:test";
import { FakeClock } from "./clock.ts";
import { CodedError } from "./coded-error.ts";
import { createLogger, silentLogger, type LogFormat, type LogLevel } from "./logger.ts";
import { redactText } from "./redaction.ts";
import { isSecretKey } from "./secret-keys.ts";

function setup(format: LogFormat, level: LogLevel = "info") {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const logger = createLogger({ level, format, destination, clock: new FakeClock(Date.UTC(2026, 1, 3, 4, 5, 6, 7)) });
  const last = (): Record<string, unknown> => JSON.parse(lines.at(-1) ?? "null") as Record<string, unknown>;
  return { logger, lines, last };
}

describe("json", () => {
  test("one object a line, with level, time and message under fixed keys", () => {
    const { logger, lines } = setup("json");
    logger.info({ subscriptionId: "sub_1", count: 3 }, "subscription paused");
    expect(lines).toEqual([
      '{"level":"info","time":"2026-02-03T04:05:06.007Z","subscriptionId":"sub_1","count":3,' +
        '"message":"subscription paused"}\n',
    ]);
  });

  test("levels below the set one are not written, and silent writes nothing", () => {
    const { logger, lines } = setup("json", "warn");
    logger.debug({}, "a");
    logger.info({}, "b");
    logger.warn({}, "c");
    logger.error({}, "d");
    expect(lines).toHaveLength(2);
    const quiet = setup("json", "silent");
    quiet.logger.error({}, "e");
    expect(quiet.lines).toEqual([]);
    silentLogger().child({ a: 1 }).error({}, "f");
  });

  test("a child adds its fields to every line, redacted too", () => {
    const { logger, last } = setup("json");
    logger.child({ service: "stream", apiToken: "t" }).child({ pass: 2 }).info({ events: 5 }, "pass done");
    expect(last()).toMatchObject({ service: "stream", apiToken: "[redacted]", pass: 2, events: 5 });
  });

  test("secrets never appear: by key at any depth, by shape in any text", () => {
    const { logger, lines } = setup("json", "debug");
    const fields = {
      headers: { Authorization: "Bearer hunter2", "x-api-key": "hunter2", accept: "text/html" },
      list: [{ password: "hunter2" }],
      url: "postgres://fc:hunter2@db/x",
      note: "secret is whsec_aHVudGVyMg==",
      error: new CodedError("INTERNAL", {
        context: { appKey: "hunter2" },
        cause: new Error("connect postgres://fc:hunter2@db/x"),
      }),
    };
    logger.error(fields, "failed with postgres://fc:hunter2@db");
    expect(lines.join("")).not.toContain("hunter2");
    expect(lines.join("")).not.toContain("aHVudGVyMg");
    expect(lines.join("")).toContain("text/html");
  });

  test("an error keeps its code, context and causes", () => {
    const { logger, last } = setup("json");
    const error = new CodedError("STORE_UNAVAILABLE", { context: { host: "db" }, cause: new Error("refused") });
    logger.error({ error }, "append failed");
    expect(last()["error"]).toMatchObject({
      name: "CodedError",
      code: "STORE_UNAVAILABLE",
      context: { host: "db" },
      cause: { message: "refused" },
    });
  });

  test("odd values do not break a line: cycles, bytes, big numbers, long lists and texts", () => {
    const { logger, lines } = setup("json");
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    const many = Array.from({ length: 5_000 }, (_, index) => index);
    const fields = { cycle, bytes: new Uint8Array(9), big: 2n ** 80n, many, long: "x".repeat(1e6), map: new Map() };
    logger.info({ ...fields, at: new Date(Number.NaN), link: new URL("http://u:p@h/") }, "odd");
    expect(lines).toHaveLength(1);
    expect(lines[0]!.length).toBeLessThan(20_000);
    expect(JSON.parse(lines[0]!)).toMatchObject({ bytes: "9 bytes", big: (2n ** 80n).toString(), map: "Map of 0" });
  });
});

describe("text", () => {
  test("time of day, level, message, then the fields", () => {
    const { logger, lines } = setup("text");
    logger.warn({ pool: "fast lane", depth: 3, tags: ["a"] }, "pool is full");
    expect(lines).toEqual(['04:05:06.007 WARN  pool is full pool="fast lane" depth=3 tags=["a"]\n']);
  });

  test("an error shows its chain on the line and its stack below", () => {
    const { logger, lines } = setup("text");
    logger.error({ error: new CodedError("STORE_FULL", { cause: new Error("ENOSPC") }) }, "append failed");
    const [first, second] = lines.join("").split("\n");
    expect(first).toBe('04:05:06.007 ERROR append failed error="STORE_FULL The disk of the database is full: ENOSPC"');
    expect(second).toStartWith("    ");
  });
});

test("keys that hold secrets are known in every spelling, and others are left alone", () => {
  const secret = ["token", "api_token", "X-Api-Key", "appKey", "Set-Cookie", "clientSecret", "PASSWORD", "secrets"];
  const open = ["tokenCount", "key", "groupKey", "secretRef", "cookieName", "author"];
  expect(secret.filter((key) => !isSecretKey(key))).toEqual([]);
  expect(open.filter(isSecretKey)).toEqual([]);
});

test("only the password of an address is taken out", () => {
  expect(redactText("amqp://me:pw@host/x and http://host:80/p")).toBe(
    "amqp://me:[redacted]@host/x and http://host:80/p",
  );
});
