import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { setupPlatform, type TestPlatform } from "../platform.fixture.ts";

let platform: TestPlatform;
beforeEach(async () => {
  platform = setupPlatform();
  const event = { source: "/shop", subject: "o-1" };
  const events = [
    { ...event, type: "shop:sales:order:created", data: { note: "blue shoes" }, clientId: "cli_1" },
    { ...event, type: "shop:sales:order:paid", correlationId: "c", messageGroup: "g", time: "2025-12-01T00:00:00Z" },
    { ...event, type: "bank:core:account:opened", data: { note: "red shoes" }, source: "/bank" },
  ];
  await platform.call("POST /api/events/batch", { events });
});
afterEach(() => platform.close());

async function typesFor(query: string): Promise<string[]> {
  const { json } = await platform.call(`GET /api/bff/events?${query}`);
  return (json["items"] as { type: string }[]).map(({ type }) => type.split(":").at(-1) ?? "");
}

describe("searching events", () => {
  test("filters by each member", async () => {
    expect(await typesFor("")).toHaveLength(3);
    expect(await typesFor("type=shop:sales:order:paid")).toEqual(["paid"]);
    expect(await typesFor("type=shop:sales:*:*&type=nothing")).toHaveLength(2);
    expect((await typesFor("type=shop:sales:order:paid,bank:core:account:opened")).toSorted()).toEqual([
      "opened",
      "paid",
    ]);
    expect(await typesFor("clientId=cli_1")).toEqual(["created"]);
    expect(await typesFor("source=/bank")).toEqual(["opened"]);
    expect(await typesFor("correlationId=c")).toEqual(["paid"]);
    expect(await typesFor("messageGroup=g")).toEqual(["paid"]);
    expect(await typesFor("timeBefore=2025-12-31T00:00:00Z")).toEqual(["paid"]);
    expect(await typesFor("timeAfter=2026-01-01T00:00:00Z&subject=o-1")).toHaveLength(2);
  });

  test("looks into the data, within 24 h if no window is given", async () => {
    expect((await typesFor("q=shoes")).toSorted()).toEqual(["created", "opened"]);
    await platform.clock.advance(25 * 3_600_000);
    expect(await typesFor("q=shoes")).toEqual([]);
    expect(await typesFor("q=red&timeAfter=2025-12-31T00:00:00Z")).toEqual(["opened"]);
  });

  test("answers numbered pages", async () => {
    const page = await platform.call("GET /api/bff/events?page=1&size=2");
    expect(page.json).toMatchObject({ page: 1, size: 2, totalItems: 3, totalPages: 2 });
    expect(page.json["items"]).toHaveLength(1);
    expect((await platform.call("GET /api/bff/events?limit=1")).json).toMatchObject({ size: 1, totalPages: 3 });
    expect((await platform.call("GET /api/bff/events?size=101")).faults[0]?.path).toBe("size");
    const many = Array.from({ length: 101 }, (_, index) => `t${index}`).join(",");
    expect((await platform.call(`GET /api/bff/events?type=${many}`)).faults[0]?.path).toBe("type");
    expect((await platform.call("GET /api/bff/events?typ=x")).code).toBe("UNKNOWN_FIELD");
    expect((await platform.call("GET /api/bff/events?timeAfter=yesterday")).faults[0]?.path).toBe("timeAfter");
  });

  test("offers values to choose from, each list narrowed by the choices before it", async () => {
    const all = await platform.call("GET /api/bff/events/filter-options");
    expect(all.json["applications"]).toEqual([
      { value: "bank", label: "bank" },
      { value: "shop", label: "shop" },
    ]);
    const narrowed = await platform.call("GET /api/bff/events/filter-options?application=bank");
    expect(narrowed.json["subdomains"]).toEqual([{ value: "core", label: "core" }]);
  });
});
