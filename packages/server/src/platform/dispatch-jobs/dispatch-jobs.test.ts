import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { JobId } from "../../domain/ids.ts";
import { anchorScope } from "../../domain/scope.ts";
import { setupPlatform, type TestAnswer, type TestPlatform } from "../platform.fixture.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform();
});
afterEach(() => platform.close());

const wanted = { targetUrl: "https://example.com/hook", payload: { hello: "world" } };
const create = (body: object = wanted, headers = {}): Promise<TestAnswer> =>
  platform.call("POST /api/dispatch/jobs", body, headers);
const items = (answer: TestAnswer): readonly { id: string; status: string }[] =>
  answer.json["items"] as { id: string; status: string }[];
const idsOf = (answer: TestAnswer): string[] => items(answer).map(({ id }) => id);
const payloadOf = (id: string): Promise<unknown> => platform.store.jobs.payload(id as JobId, anchorScope);

/** Reports of a router without a database. */
async function report(jobId: string, result: object, outcome = "SERVER_ERROR"): Promise<TestAnswer> {
  const attempt = {
    number: 1,
    startedAt: "2026-01-01T00:00:01.000Z",
    durationMs: 12,
    outcome,
    statusCode: outcome === "DELIVERED" ? 200 : 500,
    burnt: true,
    error: null,
    responseBody: "body",
    signed: true,
  };
  return platform.call("POST /api/dispatch/attempts", { reports: [{ jobId, generation: 1, attempt, result }] });
}

async function failedJob(body: object = wanted): Promise<string> {
  const { id } = await create(body);
  await platform.publishDue();
  await report(id, { kind: "permanent", error: "HTTP 400", pauseSubscription: null }, "REJECTED");
  return id;
}

describe("creating a dispatch job", () => {
  test("answers 201 with the job, which is pending", async () => {
    const created = await create({ ...wanted, code: "greet", messageGroup: "g", metadata: { a: "b" }, maxRetries: 1 });
    expect(created.status).toBe(201);
    expect(created.headers.get("location")).toBe(`/api/dispatch/jobs/${created.id}`);
    expect(created.json).toMatchObject({
      kind: "TASK",
      status: "PENDING",
      code: "greet",
      messageGroup: "g",
      groupKey: "-:task:g",
      dispatchPoolId: "DEFAULT-POOL",
      retry: { maxRetries: 1 },
      metadata: { a: "b" },
      attemptCount: 0,
    });
    expect((await platform.call(`GET /api/dispatch-jobs/${created.id}`)).text).toBe(created.text);
  });

  test("sends text as it is, anything else as JSON", async () => {
    const payload = async (given: unknown, more = {}): Promise<unknown> =>
      payloadOf((await create({ ...wanted, payload: given, ...more })).id);
    expect(await payload({ a: 1 })).toEqual({ payload: '{"a":1}', contentType: "application/json" });
    expect(await payload('{"a": 1}')).toEqual({ payload: '{"a": 1}', contentType: "application/json" });
    expect(await payload("{...}")).toEqual({ payload: "{...}", contentType: "text/plain; charset=utf-8" });
    expect(await payload("<a/>", { contentType: "text/xml" })).toEqual({ payload: "<a/>", contentType: "text/xml" });
  });

  test("with a known idempotencyKey answers 200 with the first job", async () => {
    const first = await create({ ...wanted, idempotencyKey: "k" });
    const second = await create({ ...wanted, idempotencyKey: "k" });
    expect([second.status, second.id]).toEqual([200, first.id]);
    const viaHeader = await create(wanted, { "idempotency-key": "h" });
    expect((await create(wanted, { "idempotency-key": "h" })).id).toBe(viaHeader.id);
    expect((await create({ ...wanted, payload: 1 }, { "idempotency-key": "h" })).code).toBe("IDEMPOTENCY_KEY_REUSED");
  });

  test("waits for scheduledFor", async () => {
    const created = await create({ ...wanted, scheduledFor: "2026-01-01T01:00:00Z" });
    expect(created.json["nextAttemptAt"]).toBe("2026-01-01T01:00:00.000Z");
    expect(await platform.publishDue()).toEqual([]);
  });

  test("is signed by the secret it names, else by its client's, else not", async () => {
    await platform.store.secrets.put("client:cli_1", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", platform.clock.now());
    const refOf = async (more: object): Promise<string | null | undefined> => {
      const { id } = await create({ ...wanted, ...more });
      return (await platform.store.jobs.byId(id as JobId, anchorScope))?.profile.secretRef;
    };
    expect(await refOf({})).toBeNull();
    expect(await refOf({ clientId: "cli_1" })).toBe("client:cli_1");
    expect(await refOf({ clientId: "cli_2" })).toBeNull();
    expect(await refOf({ clientId: "cli_1", secretRef: "partner" })).toBe("partner");
  });

  test("is refused when it is not valid", async () => {
    expect((await create({ targetUrl: wanted.targetUrl })).faults).toEqual([
      { path: "payload", message: "is required" },
    ]);
    expect((await create({ ...wanted, targetUrl: "http://192.168.0.1/" })).code).toBe("TARGET_FORBIDDEN");
    expect((await create({ ...wanted, payload: "x".repeat(262_145) })).status).toBe(413);
    expect((await create({ ...wanted, nonsense: 1 })).code).toBe("UNKNOWN_FIELD");
  });

  test("in a batch is all or none, naming the bad one", async () => {
    const batch = (jobs: object[]): Promise<TestAnswer> => platform.call("POST /api/dispatch/jobs/batch", { jobs });
    const done = await batch([wanted, { ...wanted, idempotencyKey: "k" }, { ...wanted, idempotencyKey: "k" }]);
    expect([done.status, done.json["count"], done.json["duplicateCount"]]).toEqual([201, 3, 1]);
    const { targetUrl: target, ...others } = wanted;
    expect((await batch([{ ...others, target }])).status).toBe(201);
    const before = (await platform.call("GET /api/dispatch/jobs")).json["total"];
    const refused = await batch([wanted, { ...wanted, targetUrl: "http://10.0.0.1/" }]);
    expect([refused.code, refused.faults[0]?.path]).toEqual(["TARGET_FORBIDDEN", "jobs[1].targetUrl"]);
    expect((await platform.call("GET /api/dispatch/jobs")).json["total"]).toBe(before);
  });
});

describe("what operators do to jobs", () => {
  test("cancelling ends a pending job; a final one cannot be cancelled again", async () => {
    const { id } = await create();
    expect((await platform.call(`POST /api/dispatch/jobs/${id}/cancel`)).json["status"]).toBe("CANCELLED");
    const again = await platform.call(`POST /api/dispatch/jobs/${id}/cancel`);
    expect([again.status, again.code]).toEqual([409, "STATE_CONFLICT"]);
    expect((await platform.call("POST /api/dispatch/jobs/job_x/cancel")).status).toBe(404);
  });

  test("retrying brings a final job back with a fresh budget; an open one cannot be retried", async () => {
    const id = await failedJob();
    const retried = await platform.call(`POST /api/dispatch/jobs/${id}/retry`);
    expect(retried.json).toMatchObject({ status: "PENDING", generation: 2, attemptCount: 0 });
    expect((await platform.call(`POST /api/dispatch/jobs/${id}/retry`)).status).toBe(409);
    const attempts = await platform.call(`GET /api/dispatch/jobs/${id}/attempts`);
    expect(attempts.json["items"]).toMatchObject([{ id: `${id}.1.1`, outcome: "REJECTED", responseBody: "body" }]);
  });

  test("a blocked group shows its cause and goes on when its head is skipped", async () => {
    const grouped = { ...wanted, mode: "BLOCK_ON_ERROR", messageGroup: "a/b c" };
    const head = await failedJob(grouped);
    await create(grouped);
    const held = await platform.call("GET /api/dispatch/groups");
    expect(held.json["items"]).toMatchObject([
      { key: "-:task:a/b c", reason: "GROUP_BLOCKED", headJobId: head, waiting: 1 },
    ]);
    expect(await platform.publishDue()).toEqual([]);
    const path = `/api/dispatch/groups/${encodeURIComponent("-:task:a/b c")}/unblock`;
    expect((await platform.call(`POST ${path}`, { action: "forget" })).status).toBe(400);
    expect((await platform.call(`POST ${path}`, { action: "skip" })).status).toBe(200);
    expect((await platform.call(`POST ${path}`, { action: "skip" })).status).toBe(404);
    expect(await platform.publishDue()).toHaveLength(1);
  });
});

describe("replay", () => {
  test("counts first, then runs with progress, and can be cancelled", async () => {
    await failedJob();
    await failedJob();
    const replay = (body: object): Promise<TestAnswer> => platform.call("POST /api/dispatch/jobs/replay", body);
    expect((await replay({ dryRun: true })).json).toEqual({ dryRun: true, count: 2 });
    expect((await replay({ dryRun: true, statuses: ["COMPLETED"] })).json["count"]).toBe(0);
    const started = await replay({ jobsPerSecond: 10 });
    expect(started.status).toBe(201);
    expect(started.headers.get("location")).toBe(`/api/dispatch/replays/${started.id}`);
    expect(started.json).toMatchObject({ status: "RUNNING", total: 2, done: 0, jobsPerSecond: 10 });
    await platform.store.replays.advance(started.id as never, 1, platform.clock.now());
    const path = `/api/dispatch/replays/${started.id}`;
    expect((await platform.call(`GET ${path}`)).json).toMatchObject({ status: "RUNNING", done: 1 });
    expect((await platform.call(`POST ${path}/cancel`)).json).toMatchObject({ status: "CANCELLED", done: 1 });
    expect((await platform.call("GET /api/dispatch/replays")).json["items"]).toHaveLength(1);
    expect((await platform.call("GET /api/dispatch/replays/rpl_x")).status).toBe(404);
  });
});

describe("lists and searches of jobs", () => {
  test("page through all jobs newest first, and none twice when more come", async () => {
    const made: string[] = [];
    for (let count = 0; count < 5; count++) {
      made.push((await create()).id);
      await platform.clock.advance(10);
    }
    const first = await platform.call("GET /api/dispatch/jobs?limit=2");
    await create();
    const second = await platform.call(`GET /api/dispatch/jobs?limit=2&cursor=${first.json["nextCursor"] as string}`);
    const third = await platform.call(`GET /api/dispatch/jobs?limit=2&cursor=${second.json["nextCursor"] as string}`);
    expect([first, second, third].flatMap(idsOf)).toEqual(made.toReversed());
    expect(third.json["nextCursor"]).toBeUndefined();
    expect((await platform.call("GET /api/dispatch/jobs?cursor=xx")).code).toBe("CURSOR_INVALID");
  });

  test("filter by status, also by its older names, and by everything else", async () => {
    const failed = await failedJob();
    const open = (await create({ ...wanted, code: "c", clientId: "cli_1", messageGroup: "g", eventId: "e" })).id;
    const search = async (query: string): Promise<string[]> =>
      idsOf(await platform.call(`GET /api/bff/dispatch-jobs?${query}`));
    expect(await search("status=FAILED")).toEqual([failed]);
    expect(await search("status=ERROR")).toEqual([failed]);
    expect((await search("status=ERROR,PENDING")).toSorted()).toEqual([failed, open].toSorted());
    for (const query of ["code=c", "clientId=cli_1", "messageGroup=g", "eventId=e"])
      expect(await search(query)).toEqual([open]);
    expect(await search("clientId=null")).toEqual([failed]);
    expect((await search("dispatchPoolId=default")).length).toBe(2);
    expect(await search("dispatchPoolId=NOPE")).toEqual([]);
    expect(await search("createdAfter=2026-01-02T00:00:00Z")).toEqual([]);
    const unknown = await platform.call("GET /api/bff/dispatch-jobs?status=LOST");
    expect([unknown.status, unknown.faults[0]?.path]).toEqual([400, "status"]);
    const page = await platform.call("GET /api/bff/dispatch-jobs?page=1&pageSize=1");
    expect(page.json).toMatchObject({ page: 1, size: 1, totalItems: 2, totalPages: 2 });
    const options = await platform.call("GET /api/bff/dispatch-jobs/filter-options");
    expect(options.json["statuses"]).toContainEqual({ value: "FAILED", label: "FAILED" });
  });
});

describe("results of a router without a database", () => {
  test("are recorded, and verdicts say what becomes of the job", async () => {
    const { id } = await create();
    await platform.publishDue();
    const delivered = await report(id, { kind: "delivered" }, "DELIVERED");
    expect(delivered.json).toEqual({ verdicts: [{ kind: "settled", status: "COMPLETED", holdsGroup: false }] });
    const again = await report(id, { kind: "delivered" }, "DELIVERED");
    expect(again.json).toEqual({ verdicts: [{ kind: "ignored", reason: "FINAL" }] });
    const unknown = await report("job_0000000000000", { kind: "expired" });
    expect(unknown.json).toEqual({ verdicts: [{ kind: "ignored", reason: "UNKNOWN_JOB" }] });
  });

  test("may park a job until a time", async () => {
    const { id } = await create();
    await platform.publishDue();
    const held = await report(id, { kind: "held", until: "2026-01-01T00:10:00Z", error: null }, "RATE_LIMITED");
    expect(held.json).toEqual({ verdicts: [{ kind: "parked", until: "2026-01-01T00:10:00.000Z" }] });
  });

  test("that are not valid are refused whole", async () => {
    const answer = await platform.call("POST /api/dispatch/attempts", {
      reports: [{ jobId: "job_1", generation: 0, attempt: null, result: { kind: "lost" } }],
    });
    expect(answer.status).toBe(400);
    const paths = answer.faults.map(({ path }) => path).toSorted();
    expect(paths).toEqual(["reports[0].generation", "reports[0].result.kind"]);
  });
});
