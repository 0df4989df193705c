import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { EventId } from "../../domain/ids.ts";
import { anchorScope } from "../../domain/scope.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import { setupPlatform, type TestPlatform } from "../platform.fixture.ts";
import { createTimeline } from "./timeline.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform();
});
afterEach(() => platform.close());

const order = { type: "order.created", source: "/shop", data: { amount: 5 } };
const subscription = { name: "Orders", eventTypes: ["order.*"], targetUrl: "https://example.com/hook" };

interface Entry {
  readonly at: string;
  readonly kind: string;
  readonly message: string;
}

async function entriesOf(eventId: string): Promise<readonly Entry[]> {
  return (await platform.call(`GET /api/events/${eventId}/timeline`)).json["entries"] as Entry[];
}

describe("the timeline of an event", () => {
  test("tells acceptance, match, queue, attempts and end in time order", async () => {
    await platform.call("POST /api/subscriptions", subscription);
    const { id } = await platform.call("POST /api/events", order);
    await platform.clock.advance(10);
    await platform.fanOut();
    await platform.clock.advance(10);
    const [job] = await platform.publishDue();
    await platform.clock.advance(100);
    const attempt = {
      number: 1,
      startedAt: "2026-01-01T00:00:00.050Z",
      durationMs: 12,
      outcome: "DELIVERED",
      statusCode: 200,
      burnt: true,
      error: null,
      responseBody: null,
      signed: true,
    };
    const report = { jobId: job!.jobId, generation: 1, attempt, result: { kind: "delivered" } };
    await platform.call("POST /api/dispatch/attempts", { reports: [report] });
    const entries = await entriesOf(id);
    expect(entries.map(({ kind }) => kind)).toEqual(["ACCEPTED", "MATCHED", "QUEUED", "ATTEMPT", "FINAL"]);
    expect(entries.map(({ at }) => at)).toEqual(entries.map(({ at }) => at).toSorted());
    expect(entries.at(-2)).toMatchObject({ attempt: 1, outcome: "DELIVERED", statusCode: 200, durationMs: 12 });
    expect(entries.at(-1)).toMatchObject({ status: "COMPLETED", jobId: job!.jobId });
    const jobs = await platform.call(`GET /api/events/${id}/jobs`);
    expect(jobs.json["items"]).toMatchObject([{ id: job!.jobId, status: "COMPLETED", kind: "EVENT", eventId: id }]);
  });

  test("says why nothing matched even when a task names the event", async () => {
    const { id } = await platform.call("POST /api/events", order);
    await platform.call("POST /api/dispatch/jobs", { targetUrl: "https://example.com/", payload: 1, eventId: id });
    await platform.fanOut();
    const messages = (await entriesOf(id)).map(({ message }) => message);
    expect(messages).toContain("No subscription matches order.created. There are no subscriptions.");
    expect(messages).toContain("A task names it, to https://example.com/.");
  });

  test("says why nothing matched, once the stream has passed", async () => {
    await platform.call("POST /api/subscriptions", { ...subscription, eventTypes: ["order.cancelled"] });
    const { id } = await platform.call("POST /api/events", order);
    expect((await entriesOf(id)).map(({ kind }) => kind)).toEqual(["ACCEPTED"]);
    await platform.fanOut();
    const entries = await entriesOf(id);
    expect(entries.map(({ kind }) => kind)).toEqual(["ACCEPTED", "NOT_MATCHED"]);
    expect(entries[1]?.message).toBe("No subscription matches order.created. The nearest pattern is order.cancelled.");
  });

  test("of an event that the stream passes meanwhile does not claim that nothing matched", async () => {
    const { deps, fanOut } = platform;
    const racing = createTimeline({
      ...deps,
      jobs: {
        ...deps.jobs,
        byEvent: async (...asked) => {
          const found = await deps.jobs.byEvent(...asked);
          await fanOut();
          return found;
        },
      },
    });
    await platform.call("POST /api/subscriptions", subscription);
    const { id } = await platform.call("POST /api/events", order);
    const event = await deps.eventReader.byId(id as EventId, anchorScope);
    const { entries } = await racing(event!, anchorScope);
    expect(entries.map(({ kind }) => kind)).toEqual(["ACCEPTED"]);
    expect((await entriesOf(id)).map(({ kind }) => kind)).toEqual(["ACCEPTED", "MATCHED"]);
  });

  test("says which filter was false, which failed, and which client was another", async () => {
    const make = (name: string, more: object): Promise<unknown> =>
      platform.call("POST /api/subscriptions", { ...subscription, name, ...more });
    await make("false", { filter: "data.amount > 100" });
    await make("faulty", { filter: "data.missing > 100" });
    await make("other", { clientId: "cli_1" });
    const { id } = await platform.call("POST /api/events", order);
    await platform.fanOut();
    const messages = (await entriesOf(id)).slice(1).map(({ message }) => message);
    expect(messages).toHaveLength(3);
    expect(messages.find((message) => message.startsWith("false:"))).toContain(
      "its filter is false: data.amount > 100",
    );
    expect(messages.find((message) => message.startsWith("faulty:"))).toContain("its filter failed on this event");
    expect(messages.find((message) => message.startsWith("other:"))).toContain("belongs to another client");
  });

  test("says why the stream has set the event aside", async () => {
    await platform.call("POST /api/subscriptions", { ...subscription, filter: "data.amount > 1" });
    const broken = { data: "{broken", dataKind: "json", createdAtMs: platform.clock.now() } as const;
    const event = createSamples().event({ type: "order.created", ...broken });
    await platform.store.events.append([event]);
    await platform.fanOut();
    const entries = await entriesOf(event.id);
    expect(entries.map(({ kind }) => kind)).toEqual(["ACCEPTED", "NOT_MATCHED"]);
    expect(entries[1]?.message).toStartWith("Set aside, because it could not be matched: ");
  });

  test("of an event that does not exist is 404", async () => {
    for (const path of ["", "/jobs", "/timeline"]) {
      expect((await platform.call(`GET /api/events/evt_x${path}`)).status).toBe(404);
    }
  });
});
