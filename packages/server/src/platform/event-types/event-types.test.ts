import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { setupPlatform, type TestAnswer, type TestPlatform } from "../platform.fixture.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform();
});
afterEach(() => platform.close());

const code = "shop:sales:order:created";
const schema = {
  type: "object",
  required: ["orderId"],
  properties: {
    orderId: { type: "integer" },
    lines: { type: "array", items: { type: "object", additionalProperties: false, properties: { sku: {} } } },
  },
};

const create = (body: object = { code }): Promise<TestAnswer> => platform.call("POST /api/event-types", body);
const schemasOf = ({ json }: TestAnswer): string[] =>
  (json["schemas"] as { version: string; status: string }[]).map(({ version, status }) => `${version} ${status}`);

async function registered(): Promise<string> {
  const { id } = await create({ code, schema });
  await platform.call(`POST /api/event-types/${id}/schemas/1.0/finalise`);
  return id;
}

describe("event types", () => {
  test("are created, read by id and by code, changed and removed", async () => {
    const created = await create({ code, name: "Order created", description: "d", schema });
    expect(created.status).toBe(201);
    expect(created.headers.get("location")).toBe(`/api/event-types/${created.id}`);
    const parts = { application: "shop", subdomain: "sales", aggregate: "order", event: "created" };
    expect(created.json).toMatchObject({ code, name: "Order created", status: "ACTIVE", version: 1, ...parts });
    expect(schemasOf(created)).toEqual(["1.0 FINALISING"]);
    expect((await platform.call(`GET /api/event-types/by-code/${code}`)).text).toBe(created.text);
    const path = `/api/event-types/${created.id}`;
    const changed = await platform.call(`PATCH ${path}`, { name: "New" }, { "if-match": '"1"' });
    expect(changed.json).toMatchObject({ name: "New", description: "d", version: 2 });
    const stale = await platform.call(`PATCH ${path}`, { name: "Other" }, { "if-match": '"1"' });
    expect([stale.status, stale.code]).toEqual([412, "VERSION_MISMATCH"]);
    expect((await platform.call(`POST ${path}/archive`)).json).toMatchObject({ status: "ARCHIVED" });
    expect((await platform.call(`DELETE ${path}`)).status).toBe(204);
    expect((await platform.call(`GET ${path}`)).status).toBe(404);
  });

  test("have four segments and a code of their own", async () => {
    expect((await create({ code: "order.created" })).faults).toEqual([
      { path: "code", message: "must have four segments: application:subdomain:aggregate:event" },
    ]);
    await create();
    const again = await create();
    expect([again.status, again.code, again.faults[0]?.path]).toEqual([409, "DUPLICATE", "code"]);
  });

  test("are listed by pages", async () => {
    for (const name of ["a", "b", "c"]) await create({ code: `${name}:b:c:d` });
    const first = await platform.call("GET /api/event-types?limit=2");
    expect(first.json["items"]).toHaveLength(2);
    const second = await platform.call(`GET /api/event-types?limit=2&cursor=${first.json["nextCursor"] as string}`);
    expect(second.json["items"]).toHaveLength(1);
    expect(second.json["nextCursor"]).toBeUndefined();
    expect((await platform.call("GET /api/event-types?application=b")).json["items"]).toHaveLength(1);
  });
});

describe("schema versions", () => {
  test("go from FINALISING to CURRENT to DEPRECATED, one CURRENT at a time", async () => {
    const id = await registered();
    const path = `/api/event-types/${id}`;
    const added = await platform.call(`POST ${path}/schemas`, { version: "1.1", schema: { type: "object" } });
    expect([added.status, schemasOf(added)]).toEqual([201, ["1.0 CURRENT", "1.1 FINALISING"]]);
    const replaced = await platform.call(`POST ${path}/schemas`, { version: "1.1", schema: true });
    expect(schemasOf(replaced)).toEqual(["1.0 CURRENT", "1.1 FINALISING"]);
    const finalised = await platform.call(`POST ${path}/schemas/1.1/finalise`);
    expect(schemasOf(finalised)).toEqual(["1.0 DEPRECATED", "1.1 CURRENT"]);
    const back = await platform.call(`POST ${path}/schemas/1.0/finalise`);
    expect([back.status, back.code]).toEqual([409, "STATE_CONFLICT"]);
    const known = await platform.call(`POST ${path}/schemas`, { version: "1.1", schema: true });
    expect([known.status, known.code]).toEqual([409, "DUPLICATE"]);
    expect(schemasOf(await platform.call(`POST ${path}/schemas/1.1/deprecate`))).toEqual([
      "1.0 DEPRECATED",
      "1.1 DEPRECATED",
    ]);
    expect((await platform.call(`POST ${path}/schemas/9.9/finalise`)).status).toBe(404);
  });

  test("are at most 1 MiB together", async () => {
    const path = `/api/event-types/${(await create({ code })).id}/schemas`;
    const schema = { const: "x".repeat(262_100) };
    const statuses: number[] = [];
    for (const version of ["1.0", "1.1", "1.2", "1.3", "1.4"]) {
      statuses.push((await platform.call(`POST ${path}`, { version, schema })).status);
    }
    expect(statuses).toEqual([201, 201, 201, 201, 413]);
    expect((await platform.call(`POST ${path}`, { version: "1.3", schema: true })).status).toBe(201);
  });

  test("must be JSON Schema", async () => {
    for (const bad of [{ type: "no such type" }, "{broken", { $ref: "https://example.com/elsewhere" }]) {
      const answer = await create({ code, schema: bad });
      expect([answer.status, answer.code]).toEqual([400, "SCHEMA_INVALID"]);
    }
  });
});

describe("data of a registered type", () => {
  const publish = (data: unknown, type = code): Promise<TestAnswer> =>
    platform.call("POST /api/events", { type, source: "/shop", data });

  test("is held to the current schema, with the path of each fault", async () => {
    await registered();
    expect((await publish({ orderId: 1, lines: [{ sku: "a" }] })).status).toBe(201);
    expect((await publish('{"orderId": 1}')).status).toBe(201);
    const refused = await publish({ lines: [{ sku: "a" }, { sk: 1 }] });
    expect([refused.status, refused.code]).toEqual([400, "DATA_DOES_NOT_MATCH_SCHEMA"]);
    expect(refused.faults).toEqual([
      { path: "data.orderId", message: "is required" },
      { path: "data.lines[1].sk", message: "is not allowed by the schema" },
    ]);
    expect((await publish({ orderId: "1" })).faults).toEqual([{ path: "data.orderId", message: "must be integer" }]);
  });

  test("refuses a batch whole, naming the event", async () => {
    await registered();
    const event = { type: code, source: "/shop" };
    const events = [
      { ...event, data: { orderId: 1 } },
      { ...event, data: {} },
    ];
    const refused = await platform.call("POST /api/events/batch", { events });
    expect(refused.faults.map(({ path }) => path)).toEqual(["events[1].data.orderId"]);
    expect<number>(await platform.store.eventFeed.newest()).toBe(0);
  });

  test("is free until a version is finalised, and again after it is deprecated or archived", async () => {
    const { id } = await create({ code, schema });
    expect((await publish({})).status).toBe(201);
    await platform.call(`POST /api/event-types/${id}/schemas/1.0/finalise`);
    expect((await publish({})).status).toBe(400);
    await platform.call(`POST /api/event-types/${id}/schemas/1.0/deprecate`);
    expect((await publish({})).status).toBe(201);
  });

  test("of other types is not looked at", async () => {
    await registered();
    expect((await publish({}, "order.created")).status).toBe(201);
    expect((await publish({}, "shop:sales:order:cancelled")).status).toBe(201);
  });
});
