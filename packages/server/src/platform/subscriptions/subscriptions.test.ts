import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { JobId } from "../../domain/ids.ts";
import { anchorScope } from "../../domain/scope.ts";
import { setupPlatform, type TestAnswer, type TestPlatform } from "../platform.fixture.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform();
});
afterEach(() => platform.close());

const wanted = { name: "Orders", eventTypes: ["order.*"], targetUrl: "https://example.com/hook" };
const create = (body: object = wanted): Promise<TestAnswer> => platform.call("POST /api/subscriptions", body);
const pathOf = ({ id }: TestAnswer): string => `/api/subscriptions/${id}`;

interface Refusal {
  readonly what: string;
  readonly changes: object;
  readonly code: string;
  readonly path: string;
}

describe("creating a subscription", () => {
  test("fills in the defaults and tells no secret", async () => {
    const created = await create();
    expect(created.status).toBe(201);
    expect(created.headers.get("location")).toBe(pathOf(created));
    expect(created.json).toEqual({
      id: created.id,
      code: null,
      name: "Orders",
      clientId: null,
      eventTypes: [{ eventTypeCode: "order.*", filter: null }],
      targetUrl: "https://example.com/hook",
      dispatchPoolId: "DEFAULT-POOL",
      mode: "NEXT_ON_ERROR",
      format: "data",
      filter: null,
      timeoutSeconds: 30,
      retry: { delaysSeconds: [1, 2, 60, 300, 900, 3_600], maxRetries: 6 },
      headers: {},
      delaySeconds: 0,
      maxAgeSeconds: 86_400,
      legacySignature: false,
      status: "ACTIVE",
      pauseReason: null,
      leaseExpiresAt: null,
      version: 1,
      createdAt: "2026-01-01T00:00:00.000Z",
      updatedAt: "2026-01-01T00:00:00.000Z",
    });
    const read = await platform.call(`GET ${pathOf(created)}`);
    expect(read.text).toBe(created.text);
    expect(read.headers.get("etag")).toBe('"1"');
    expect((await platform.call("GET /api/subscriptions")).text).not.toContain("whsec_");
  });

  test("takes everything that can be wished for", async () => {
    await platform.call("POST /api/dispatch-pools", { code: "SLOW", concurrency: 1 });
    const wishes = {
      ...wanted,
      code: "orders",
      clientId: "cli_1",
      eventTypes: [{ eventTypeCode: "shop:**", filter: "data.amount > 100" }],
      dispatchPoolId: "SLOW",
      mode: "BLOCK_ON_ERROR",
      format: "cloudevents",
      filter: 'event.source == "/shop"',
      timeoutSeconds: 5,
      maxRetries: 2,
      retry: "fast",
      headers: { "x-team": "orders" },
      delaySeconds: 10,
      maxAgeSeconds: 600,
      legacySignature: true,
      leaseSeconds: 60,
    };
    const { clientId, leaseSeconds: _lease, maxRetries: _max, retry: _retry, ...shown } = wishes;
    const created = await create(wishes);
    expect(created.json).toMatchObject({
      ...shown,
      clientId,
      retry: { delaysSeconds: [1, 2], maxRetries: 2 },
      leaseExpiresAt: "2026-01-01T00:01:00.000Z",
    });
  });

  test("by the names other builds use for the target", async () => {
    const { targetUrl, ...others } = wanted;
    for (const alias of ["target", "endpoint"]) {
      const created = await create({ ...others, name: alias, [alias]: targetUrl });
      expect([created.status, created.json["targetUrl"]]).toEqual([201, targetUrl]);
    }
    expect((await create({ ...wanted, name: "both", target: targetUrl })).code).toBe("UNKNOWN_FIELD");
  });

  test("gives standard-webhooks the age it needs, and refuses a policy longer than the age", async () => {
    const created = await create({ ...wanted, retry: "standard-webhooks" });
    expect(created.json).toMatchObject({ maxAgeSeconds: 259_200, retry: { maxRetries: 7 } });
    const refused = await create({ ...wanted, name: "x", retry: { delaysSeconds: [100_000] } });
    expect([refused.status, refused.code, refused.faults[0]?.path]).toEqual([400, "RETRY_POLICY_INVALID", "retry"]);
  });

  test("saves a target that does not resolve, with a warning", async () => {
    const created = await create({ ...wanted, targetUrl: "https://nowhere.test/hook" });
    expect(created.status).toBe(201);
    expect(created.json["warnings"]).toMatchObject([{ code: "TARGET_UNRESOLVED" }]);
    expect((await platform.call(`GET ${pathOf(created)}`)).json["warnings"]).toBeUndefined();
  });

  const refusals: readonly Refusal[] = [
    {
      what: "a forbidden address",
      changes: { targetUrl: "http://10.0.0.1/" },
      code: "TARGET_FORBIDDEN",
      path: "targetUrl",
    },
    {
      what: "a forbidden address in decimal",
      changes: { targetUrl: "http://2852039166/" },
      code: "TARGET_FORBIDDEN",
      path: "targetUrl",
    },
    {
      what: "another scheme",
      changes: { targetUrl: "ftp://example.com/" },
      code: "VALIDATION_FAILED",
      path: "targetUrl",
    },
    {
      what: "credentials in the URL",
      changes: { targetUrl: "https://a:b@example.com/" },
      code: "VALIDATION_FAILED",
      path: "targetUrl",
    },
    { what: "a relative URL", changes: { targetUrl: "/hook" }, code: "VALIDATION_FAILED", path: "targetUrl" },
    {
      what: "a bad pattern",
      changes: { eventTypes: ["order.created", "order.**.x"] },
      code: "PATTERN_INVALID",
      path: "eventTypes[1]",
    },
    {
      what: "half a wildcard",
      changes: { eventTypes: ["order.cre*"] },
      code: "PATTERN_INVALID",
      path: "eventTypes[0]",
    },
    { what: "a bad filter", changes: { filter: "data.amount >" }, code: "FILTER_INVALID", path: "filter" },
    {
      what: "a bad filter of a type",
      changes: { eventTypes: [{ eventTypeCode: "a", filter: "nonsense(1)" }] },
      code: "FILTER_INVALID",
      path: "eventTypes[0].filter",
    },
    { what: "no event types", changes: { eventTypes: [] }, code: "VALIDATION_FAILED", path: "eventTypes" },
    { what: "an unknown pool", changes: { dispatchPoolId: "NOPE" }, code: "VALIDATION_FAILED", path: "dispatchPoolId" },
    {
      what: "a header of ours",
      changes: { headers: { "webhook-id": "x" } },
      code: "VALIDATION_FAILED",
      path: 'headers["webhook-id"]',
    },
    {
      what: "a header with a line end",
      changes: { headers: { "x-a": "a\r\nb" } },
      code: "VALIDATION_FAILED",
      path: 'headers["x-a"]',
    },
    { what: "an unknown field", changes: { eventType: "x" }, code: "UNKNOWN_FIELD", path: "eventType" },
    { what: "a wrong type", changes: { timeoutSeconds: "5" }, code: "VALIDATION_FAILED", path: "timeoutSeconds" },
    {
      what: "a lease that is too long",
      changes: { leaseSeconds: 3_601 },
      code: "VALIDATION_FAILED",
      path: "leaseSeconds",
    },
  ];
  test.each(refusals)("refuses $what, and saves nothing", async ({ changes, code, path }) => {
    const answer = await create({ ...wanted, ...changes });
    expect([answer.status, answer.code]).toEqual([400, code]);
    expect(answer.faults.map((fault) => fault.path)).toContain(path);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect((await platform.call("GET /api/subscriptions")).json["items"]).toEqual([]);
  });

  test("refuses a name or code that is taken, within the client", async () => {
    await create({ ...wanted, code: "c" });
    const sameName = await create(wanted);
    expect([sameName.status, sameName.code, sameName.faults[0]?.path]).toEqual([409, "DUPLICATE", "name"]);
    const sameCode = await create({ ...wanted, name: "Other", code: "c" });
    expect([sameCode.status, sameCode.faults[0]?.path]).toEqual([409, "code"]);
    expect((await create({ ...wanted, code: "c", clientId: "cli_1" })).status).toBe(201);
  });
});

describe("changing a subscription", () => {
  test("PATCH leaves what is absent, PUT sets it to its default", async () => {
    const created = await create({ ...wanted, timeoutSeconds: 5, filter: "true", retry: "fast" });
    const path = pathOf(created);
    const patched = await platform.call(`PATCH ${path}`, { name: "New", filter: null });
    expect(patched.json).toMatchObject({ name: "New", filter: null, timeoutSeconds: 5, version: 2 });
    expect(patched.json["retry"]).toEqual({ delaysSeconds: [1, 2], maxRetries: 2 });
    const put = await platform.call(`PUT ${path}`, { ...wanted, name: "Put" });
    expect(put.json).toMatchObject({ name: "Put", timeoutSeconds: 30, version: 3, retry: { maxRetries: 6 } });
  });

  test("with If-Match applies to that version only", async () => {
    const created = await create();
    const path = pathOf(created);
    expect((await platform.call(`PATCH ${path}`, { name: "A" }, { "if-match": '"1"' })).status).toBe(200);
    const stale = await platform.call(`PATCH ${path}`, { name: "B" }, { "if-match": "1" });
    expect([stale.status, stale.code]).toEqual([412, "VERSION_MISMATCH"]);
    expect((await platform.call(`PATCH ${path}`, { name: "B" }, { "if-match": "*" })).status).toBe(200);
    expect((await platform.call(`PATCH ${path}`, { name: "B" }, { "if-match": "newest" })).status).toBe(400);
  });

  test("that does not exist, or not any more, is 404 and 409", async () => {
    expect((await platform.call("PATCH /api/subscriptions/sub_x", { name: "x" })).status).toBe(404);
    const created = await create();
    expect((await platform.call(`DELETE ${pathOf(created)}`)).status).toBe(204);
    const late = await platform.call(`PATCH ${pathOf(created)}`, { name: "x" });
    expect([late.status, late.code]).toEqual([409, "STATE_CONFLICT"]);
  });
});

describe("the state of a subscription", () => {
  test("is paused with a reason and resumed, and either may be repeated", async () => {
    const created = await create();
    const path = pathOf(created);
    const paused = await platform.call(`POST ${path}/pause`, { reason: "maintenance" });
    expect(paused.json).toMatchObject({ status: "PAUSED", pauseReason: "maintenance", version: 2 });
    expect((await platform.call(`POST ${path}/pause`)).json).toMatchObject({ status: "PAUSED", version: 2 });
    expect((await platform.call(`POST ${path}/resume`)).json).toMatchObject({ status: "ACTIVE", pauseReason: null });
    expect((await platform.call(`POST ${path}/resume`)).json).toMatchObject({ status: "ACTIVE", version: 3 });
  });

  test("holds deliveries while paused, and loses none of them", async () => {
    const path = pathOf(await create());
    await platform.call(`POST ${path}/pause`);
    await platform.call("POST /api/events", { type: "order.created", source: "/shop" });
    await platform.fanOut();
    expect(await platform.publishDue()).toEqual([]);
    const held = (await platform.call("GET /api/dispatch/groups")).json["items"];
    expect(held).toMatchObject([{ reason: "SUBSCRIPTION_PAUSED", waiting: 1 }]);
    await platform.call(`POST ${path}/resume`);
    expect(await platform.publishDue()).toHaveLength(1);
  });

  test("archived cancels what is pending", async () => {
    const created = await create();
    const events = Array.from({ length: 20 }, () => ({ type: "order.created", source: "/shop" }));
    await platform.call("POST /api/events/batch", { events });
    await platform.fanOut();
    await platform.call(`POST ${pathOf(created)}/archive`);
    const { json } = await platform.call(`GET ${pathOf(created)}/stats`);
    expect([json["pending"], json["cancelled"]]).toEqual([0, 20]);
    expect(await platform.publishDue()).toEqual([]);
  });

  test("is ended by archiving, which is final", async () => {
    const path = pathOf(await create());
    expect((await platform.call(`POST ${path}/archive`)).json).toMatchObject({ status: "ARCHIVED" });
    expect((await platform.call(`POST ${path}/archive`)).status).toBe(200);
    for (const action of ["pause", "resume"]) expect((await platform.call(`POST ${path}/${action}`)).status).toBe(409);
  });

  test("shows its jobs by status", async () => {
    const created = await create();
    const zero = { pending: 0, queued: 0, completed: 0, failed: 0, cancelled: 0, expired: 0 };
    const stats = await platform.call(`GET ${pathOf(created)}/stats`);
    expect(stats.json).toEqual({ subscriptionId: created.id, ...zero, filterFaults: null });
    expect((await platform.call("GET /api/subscriptions/sub_x/stats")).status).toBe(404);
  });

  test("shows the events its filter failed on", async () => {
    const created = await create({ ...wanted, filter: "data.amount > 5" });
    const { id } = await platform.call("POST /api/events", { type: "order.created", source: "/s", data: {} });
    await platform.fanOut();
    const { json } = await platform.call(`GET ${pathOf(created)}/stats`);
    expect(json["filterFaults"]).toMatchObject({ count: 1, lastReason: "No such key: amount", lastEventId: id });
  });

  test("of a temporary one lasts until its lease ends, unless renewed", async () => {
    const path = pathOf(await create({ ...wanted, leaseSeconds: 60 }));
    await platform.clock.advance(30_000);
    const renewed = await platform.call(`POST ${path}/renew-lease`);
    expect(renewed.json["leaseExpiresAt"]).toBe("2026-01-01T00:01:30.000Z");
    const longer = await platform.call(`POST ${path}/renew-lease`, { leaseSeconds: 3_600 });
    expect(longer.json["leaseExpiresAt"]).toBe("2026-01-01T01:00:30.000Z");
    const permanent = await create({ ...wanted, name: "permanent" });
    expect((await platform.call(`POST ${pathOf(permanent)}/renew-lease`)).status).toBe(409);
  });
});

describe("signing secrets", () => {
  test("are told only where asked for, and rotate with 24 h of overlap", async () => {
    const path = pathOf(await create());
    const first = (await platform.call(`GET ${path}/secret`)).json["secret"] as string;
    expect(first).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const rotated = await platform.call(`POST ${path}/rotate-secret`);
    expect(rotated.headers.get("cache-control")).toBe("no-store");
    expect(rotated.json["alsoValid"]).toEqual([first]);
    expect(rotated.json["secret"]).not.toBe(first);
    await platform.clock.advance(24 * 3_600_000 + 1);
    expect((await platform.call(`GET ${path}/secret`)).json["alsoValid"]).toEqual([]);
    expect((await platform.call(`POST ${path}/rotate-secret`, { overlapHours: 0 })).json["alsoValid"]).toEqual([]);
  });

  test("are not kept with the answers remembered for repeats", async () => {
    const path = pathOf(await create());
    const key = { "idempotency-key": "rotate-1" };
    const first = await platform.call(`POST ${path}/rotate-secret`, {}, key);
    const again = await platform.call(`POST ${path}/rotate-secret`, {}, key);
    expect([again.status, again.text, again.headers.get("idempotency-replayed")]).toEqual([200, first.text, "true"]);
    expect(again.headers.get("cache-control")).toBe("no-store");
    const digest = createHash("sha256").update("{}").digest("base64url");
    const kept = await platform.store.idempotency.begin(`prn_development ${path}/rotate-secret rotate-1`, digest, 0);
    expect(kept).toMatchObject({ kind: "repeat", answer: { status: 200, body: "" } });
    expect((await platform.call(`GET ${path}/secret`)).json["secret"]).toBe(first.json["secret"]);
  });
});

describe("a test delivery", () => {
  test("is a task to the target with the subscription's secret, headers and limits", async () => {
    const created = await create({ ...wanted, eventTypes: ["order.*", "order.created"], headers: { "x-a": "b" } });
    const answer = await platform.call(`POST ${pathOf(created)}/test`, { data: { hello: 1 } });
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({
      kind: "TASK",
      status: "PENDING",
      code: "order.created",
      headers: { "x-a": "b" },
    });
    const job = await platform.store.jobs.byId(answer.id as JobId, anchorScope);
    expect(job?.profile.secretRef).toBe(`subscription:${created.id}`);
    expect((await platform.call("POST /api/subscriptions/sub_x/test")).status).toBe(404);
  });

  test("goes out even while the subscription is paused", async () => {
    const path = pathOf(await create());
    await platform.call(`POST ${path}/pause`);
    const { id } = await platform.call(`POST ${path}/test`);
    expect((await platform.publishDue()).map(({ jobId }) => jobId as string)).toEqual([id]);
  });
});

describe("listing subscriptions", () => {
  test("filters, pages, and takes other names of the page size", async () => {
    for (const name of ["a", "b", "c"])
      await create({ ...wanted, name, ...(name === "c" ? { clientId: "cli_1" } : {}) });
    const names = (answer: TestAnswer): string[] =>
      (answer.json["items"] as { name: string }[]).map(({ name }) => name);
    const first = await platform.call("GET /api/subscriptions?size=2&page=0");
    expect(names(first)).toHaveLength(2);
    const cursor = first.json["nextCursor"] as string;
    const second = await platform.call(`GET /api/subscriptions?pageSize=2&cursor=${cursor}`);
    expect([...names(first), ...names(second)].toSorted()).toEqual(["a", "b", "c"]);
    expect(names(await platform.call("GET /api/subscriptions?clientId=cli_1"))).toEqual(["c"]);
    expect(names(await platform.call("GET /api/subscriptions?clientId=null&name=c"))).toEqual([]);
    expect(names(await platform.call("GET /api/subscriptions?clientId=null"))).not.toEqual([]);
    expect(names(await platform.call("GET /api/subscriptions?name=b"))).toEqual(["b"]);
    expect(names(await platform.call("GET /api/subscriptions?status=PAUSED"))).toEqual([]);
    expect((await platform.call("GET /api/subscriptions?cursor=nonsense")).code).toBe("CURSOR_INVALID");
    expect((await platform.call("GET /api/subscriptions?limit=1001")).faults[0]?.path).toBe("limit");
    expect((await platform.call("GET /api/subscriptions?page=1")).code).toBe("UNKNOWN_FIELD");
  });
});

test("a target is written without spaces or line ends, which parsers of URLs would drop", async () => {
  for (const targetUrl of [
    "https://example.com/ ",
    "https://exam\nple.com/",
    "\thttps://example.com/",
    "https://example.com/a b",
  ]) {
    const refused = await create({ ...wanted, targetUrl });
    expect(refused.faults).toEqual([{ path: "targetUrl", message: "must not have spaces or control characters" }]);
  }
});

test("headers are no more together than common servers take", async () => {
  const many = Object.fromEntries(Array.from({ length: 5 }, (_, index) => [`x-${index}`, "v".repeat(4_000)]));
  const refused = await create({ ...wanted, headers: many });
  expect(refused.faults).toEqual([{ path: "headers", message: "must have at most 16384 characters together" }]);
});

describe("what a test delivery may be", () => {
  test("is no larger than an event", async () => {
    const { id } = await create();
    const large = await platform.call(`POST /api/subscriptions/${id}/test`, { data: "x".repeat(262_144) });
    expect([large.status, large.code, large.faults[0]?.path]).toEqual([413, "PAYLOAD_TOO_LARGE", "data"]);
    const nested = `{"data":${"[".repeat(501)}${"]".repeat(501)}}`;
    expect((await platform.call(`POST /api/subscriptions/${id}/test`, nested)).faults[0]?.path).toBe("data");
  });

  test("is refused, as is a new secret, once the subscription has ended", async () => {
    const { id } = await create();
    await platform.call(`POST /api/subscriptions/${id}/archive`);
    for (const action of ["test", "rotate-secret"]) {
      expect((await platform.call(`POST /api/subscriptions/${id}/${action}`)).code).toBe("STATE_CONFLICT");
    }
  });
});

test("maxRetries that goes back to its default follows the policy", async () => {
  const { id } = await create({ ...wanted, maxRetries: 1 });
  const { json } = await platform.call(`PATCH /api/subscriptions/${id}`, { maxRetries: null });
  expect(json["retry"]).toMatchObject({ maxRetries: 6 });
});
