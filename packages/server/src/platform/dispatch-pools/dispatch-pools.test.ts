import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { setupPlatform, type TestAnswer, type TestPlatform } from "../platform.fixture.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform();
});
afterEach(() => platform.close());

const create = (body: object): Promise<TestAnswer> => platform.call("POST /api/dispatch-pools", body);

describe("dispatch pools", () => {
  test("are created, read by id or code, changed, suspended and activated", async () => {
    const created = await create({ code: "SLOW", name: "Slow ones", rateLimitPerMinute: 60, burst: 5 });
    expect(created.status).toBe(201);
    expect(created.json).toMatchObject({
      code: "SLOW",
      concurrency: 10,
      rateLimitPerMinute: 60,
      burst: 5,
      status: "ACTIVE",
    });
    expect((await platform.call("GET /api/dispatch-pools/SLOW")).text).toBe(created.text);
    expect((await platform.call(`GET /api/dispatch-pools/${created.id}`)).text).toBe(created.text);
    const patched = await platform.call("PATCH /api/dispatch-pools/SLOW", { concurrency: 3, burst: null });
    expect(patched.json).toMatchObject({ concurrency: 3, rateLimitPerMinute: 60, burst: null, version: 2 });
    const put = await platform.call("PUT /api/dispatch-pools/SLOW", {}, { "if-match": "2" });
    expect(put.json).toMatchObject({ name: null, concurrency: 10, rateLimitPerMinute: null });
    expect((await platform.call("POST /api/dispatch-pools/SLOW/suspend")).json["status"]).toBe("SUSPENDED");
    expect((await platform.call("POST /api/dispatch-pools/SLOW/suspend")).status).toBe(200);
    expect((await platform.call("POST /api/dispatch-pools/SLOW/activate")).json["status"]).toBe("ACTIVE");
  });

  test("together ask for no more calls at once than their router makes", async () => {
    await platform.close();
    platform = setupPlatform({ poolConcurrencyMax: 100 });
    expect((await create({ code: "A", concurrency: 50 })).status).toBe(201);
    const over = await create({ code: "B", concurrency: 31 });
    expect([over.status, over.code]).toEqual([409, "STATE_CONFLICT"]);
    expect(over.text).toContain("101 calls at once");
    expect((await create({ code: "B", concurrency: 30 })).status).toBe(201);
    expect((await platform.call("PATCH /api/dispatch-pools/A", { concurrency: 51 })).status).toBe(409);
    expect(
      (await platform.call("PATCH /api/dispatch-pools/A", { concurrency: 40, rateLimitPerMinute: 5 })).status,
    ).toBe(200);
    expect((await create({ code: "DEFAULT-POOL", concurrency: 30 })).status).toBe(201);
    expect((await create({ code: "C", concurrency: 1 })).status).toBe(409);
  });

  test("are removed unless a subscription names them", async () => {
    await create({ code: "USED" });
    const subscription = { name: "s", eventTypes: ["a"], targetUrl: "https://example.com/", dispatchPoolId: "USED" };
    const { id } = await platform.call("POST /api/subscriptions", subscription);
    const inUse = await platform.call("DELETE /api/dispatch-pools/USED");
    expect([inUse.status, inUse.code]).toEqual([409, "STATE_CONFLICT"]);
    await platform.call(`DELETE /api/subscriptions/${id}`);
    expect((await platform.call("DELETE /api/dispatch-pools/USED")).status).toBe(204);
    expect((await platform.call("GET /api/dispatch-pools/USED")).status).toBe(404);
  });

  test("let go what they held when they are removed, and start without a hold under the same code", async () => {
    await create({ code: "GONE" });
    const subscription = { name: "s", eventTypes: ["a"], targetUrl: "https://example.com/", dispatchPoolId: "GONE" };
    const { id } = await platform.call("POST /api/subscriptions", subscription);
    await platform.call("POST /api/events", { type: "a", source: "/s" });
    await platform.fanOut();
    await platform.call("POST /api/dispatch-pools/GONE/suspend");
    expect(await platform.publishDue()).toEqual([]);
    await platform.call(`PATCH /api/subscriptions/${id}`, { dispatchPoolId: "default" });
    expect((await platform.call("DELETE /api/dispatch-pools/GONE")).status).toBe(204);
    expect(await platform.publishDue()).toHaveLength(1);

    await create({ code: "GONE" });
    await platform.call(`PATCH /api/subscriptions/${id}`, { dispatchPoolId: "GONE" });
    await platform.call("POST /api/events", { type: "a", source: "/s" });
    await platform.fanOut();
    expect(await platform.publishDue()).toHaveLength(1);
    expect((await platform.call("GET /api/dispatch/groups")).json["items"]).toEqual([]);
  });

  test("have a code of their own, and numbers that make sense", async () => {
    await create({ code: "A" });
    expect((await create({ code: "A" })).code).toBe("DUPLICATE");
    expect((await create({ code: "default" })).code).toBe("DUPLICATE");
    expect((await create({ code: "has space" })).faults[0]?.path).toBe("code");
    expect((await create({ code: "B", concurrency: 0 })).faults[0]?.path).toBe("concurrency");
    expect((await create({ code: "B", burst: 5 })).faults[0]?.path).toBe("burst");
    expect((await create({ code: "B", rateLimitPerMinute: 0.5 })).faults[0]?.path).toBe("rateLimitPerMinute");
    expect((await create({})).faults).toEqual([{ path: "code", message: "is required" }]);
  });

  test("may be the default one: the platform's, with its own number of slots", async () => {
    expect((await create({ code: "DEFAULT-POOL", clientId: "cli_1" })).code).toBe("FORBIDDEN");
    expect((await create({ code: "DEFAULT-POOL", concurrency: 5 })).json["concurrency"]).toBe(5);
    const put = await platform.call("PUT /api/dispatch-pools/default", { name: "d" });
    expect(put.json).toMatchObject({ code: "DEFAULT-POOL", concurrency: 20 });
    await platform.call("PATCH /api/dispatch-pools/default", { concurrency: 7 });
    const patched = await platform.call("PATCH /api/dispatch-pools/default", { concurrency: null });
    expect(patched.json).toMatchObject({ name: "d", concurrency: 20 });
    expect((await platform.call("DELETE /api/dispatch-pools/default")).code).toBe("STATE_CONFLICT");
  });

  test("are listed", async () => {
    await create({ code: "A" });
    const codes = ((await platform.call("GET /api/dispatch-pools")).json["items"] as { code: string }[]).map(
      (p) => p.code,
    );
    expect(codes).toContain("A");
  });
});
