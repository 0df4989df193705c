import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { CodedError } from "@flowcatalyst/foundation";
import { setupPlatform, type TestAnswer, type TestPlatform } from "../platform.fixture.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform();
});
afterEach(() => platform.close());

const task = { targetUrl: "https://shop.example/hook", payload: { n: 1 } };

interface Result {
  readonly id?: string;
  readonly status: string;
  readonly error?: string;
}
const resultsOf = (answer: TestAnswer): readonly Result[] => answer.json["results"] as Result[];
const statusesOf = (answer: TestAnswer): readonly string[] => resultsOf(answer).map(({ status }) => status);
const post = (items: readonly unknown[], path = "/api/dispatch/jobs/batch"): Promise<TestAnswer> =>
  platform.call(`POST ${path}`, { items });
const jobCount = async (): Promise<number> => {
  const { json } = await platform.call("GET /api/dispatch/jobs");
  return (json["items"] as readonly unknown[]).length;
};

describe("POST /api/dispatch/jobs/batch with items", () => {
  test("answers each item for itself, by position; the others are created", async () => {
    const answer = await post([
      task,
      { payload: 1 },
      { ...task, targetUrl: "ftp://shop.example" },
      { ...task, targetUrl: "http://10.0.0.1/hook" },
      { ...task, dispatchPoolId: "NO-SUCH-POOL" },
      { ...task, payload: "x".repeat(262_145) },
      "text",
      { ...task, messageGroup: "g" },
    ]);
    expect(answer.status).toBe(200);
    const results = resultsOf(answer);
    expect(results.map(({ status }) => status)).toEqual([
      "SUCCESS",
      "BAD_REQUEST",
      "BAD_REQUEST",
      "BAD_REQUEST",
      "BAD_REQUEST",
      "BAD_REQUEST",
      "BAD_REQUEST",
      "SUCCESS",
    ]);
    expect(results[0]?.id).toStartWith("job_");
    expect(results[1]?.error).toStartWith("items[1].targetUrl is required");
    expect(results[3]?.error).toStartWith("items[3].targetUrl points to 10.0.0.1");
    expect(results[5]?.error).toStartWith("items[5].payload must be at most 262144 bytes");
    expect(await jobCount()).toBe(2);
    const read = await platform.call(`GET /api/dispatch/jobs/${results[7]?.id}`);
    expect(read.json).toMatchObject({ messageGroup: "g", status: "PENDING" });
  });

  test("a known idempotencyKey is a success with the first job's id, in one request and later", async () => {
    const keyed = { ...task, idempotencyKey: "row-1" };
    const [first] = resultsOf(await post([keyed]));
    const again = resultsOf(await post([task, keyed, { ...keyed, idempotencyKey: "row-2" }, keyed]));
    expect(again.map(({ status }) => status)).toEqual(["SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS"]);
    expect([again[1]?.id, again[3]?.id]).toEqual([first?.id, first?.id]);
    expect(await jobCount()).toBe(3);
  });

  test("at the other path too, with other names of the target", async () => {
    const { payload } = task;
    const items = [
      { payload, target: task.targetUrl },
      { payload, endpoint: task.targetUrl },
    ];
    expect(statusesOf(await post(items, "/api/dispatch-jobs/batch"))).toEqual(["SUCCESS", "SUCCESS"]);
  });

  test("a retryable failure fails later items of its group, and only those", async () => {
    const { pools } = platform.store;
    const away: typeof pools = { ...pools, byCode: () => Promise.reject(new CodedError("STORE_UNAVAILABLE")) };
    const flaky = setupPlatform({}, { pools: away });
    const items = [
      { ...task, dispatchPoolId: "AWAY", messageGroup: "a" },
      { ...task, messageGroup: "b" },
      { ...task, messageGroup: "a" },
      { ...task, messageGroup: "a", clientId: "cli_1" },
      task,
    ];
    const answer = await flaky.call("POST /api/dispatch/jobs/batch", { items });
    expect(statusesOf(answer)).toEqual(["INTERNAL_ERROR", "SUCCESS", "INTERNAL_ERROR", "SUCCESS", "SUCCESS"]);
    await flaky.close();
  });

  test("fails all valid items when the store cannot take them, and none is kept", async () => {
    const { jobCommands } = platform.store;
    const full = Object.assign(Object.create(jobCommands) as typeof jobCommands, {
      createTasks: () => Promise.reject(new CodedError("STORE_FULL")),
    });
    const broken = setupPlatform({}, { jobCommands: full });
    const answer = await broken.call("POST /api/dispatch/jobs/batch", { items: [task, {}, task] });
    expect(statusesOf(answer)).toEqual(["INTERNAL_ERROR", "BAD_REQUEST", "INTERNAL_ERROR"]);
    await broken.close();
  });

  test("keeps the order of a group", async () => {
    const items = Array.from({ length: 50 }, (_, n) => ({ ...task, messageGroup: `g${n % 3}`, payload: { n } }));
    const ids = resultsOf(await post(items)).map(({ id }) => id);
    const { json } = await platform.call("GET /api/dispatch/jobs?limit=100");
    const newestFirst = (json["items"] as readonly { readonly id: string }[]).map(({ id }) => id);
    expect<readonly (string | undefined)[]>(newestFirst.toReversed()).toEqual(ids);
  });

  test("refuses what is no such batch, as a whole", async () => {
    const send = (body: unknown) => platform.call("POST /api/dispatch/jobs/batch", body);
    expect(await send({ items: [task], jobs: [task] })).toMatchObject({ status: 400 });
    expect(await send({ items: [task], other: 1 })).toMatchObject({ status: 400, code: "UNKNOWN_FIELD" });
    expect(await send({ items: [] })).toMatchObject({ status: 400 });
    expect(await send({})).toMatchObject({ status: 400, faults: [{ path: "jobs", message: "is required" }] });
    const many = Array.from({ length: 501 }, () => task);
    expect(await send({ items: many })).toMatchObject({ status: 413, code: "BATCH_TOO_LARGE" });
    expect(await jobCount()).toBe(0);
  });

  test("is repeated under its Idempotency-Key", async () => {
    const send = () => platform.call("POST /api/dispatch/jobs/batch", { items: [task] }, { "idempotency-key": "k" });
    const [first, again] = [await send(), await send()];
    expect(again.text).toBe(first.text);
    expect(await jobCount()).toBe(1);
  });
});
