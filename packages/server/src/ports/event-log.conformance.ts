import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { EventId, EventPosition } from "../domain/ids.ts";
import { anchorScope } from "../domain/scope.ts";
import type { EventAppender, EventFeed, EventReader } from "./event-log.ts";
import { clientA, clientB, createSamples, sampleTimeMs, type SampleEntities } from "./sample-entities.fixture.ts";

/** A fresh, empty event log. Its clock starts at `sampleTimeMs`, and its deduplication window is 168 h. */
export interface EventLogFixture {
  readonly appender: EventAppender;
  readonly feed: EventFeed;
  readonly reader: EventReader;
  advance(ms: number): Promise<void>;
  close(): Promise<void>;
}

const start = 0 as EventPosition;
const all = { maxEvents: 1_000, maxBytes: 1_000_000, withData: true };
const hourMs = 3_600_000;

export function describeEventLogConformance(name: string, setup: () => Promise<EventLogFixture>): void {
  describe(`${name}: event log`, () => {
    let log: EventLogFixture;
    let samples: SampleEntities;
    beforeEach(async () => {
      log = await setup();
      samples = createSamples();
    });
    afterEach(() => log.close());

    describe("appending", () => {
      test("gives back each event as it was given, with its position", async () => {
        const plain = samples.event();
        const full = samples.event({
          clientId: clientA,
          subject: "order-7",
          messageGroup: "g1",
          correlationId: "cor",
          causationId: "cau",
          deduplicationId: "ded",
          senderId: "sender-1",
          dataSchema: "https://example.com/schema",
          data: '{ "kept" : "exactly", "n": 1.0, "\\u00e9": "é😀" }',
          contextData: [{ key: "tenant", value: "x" }],
          extensions: { partition: 7, sampled: true, region: "eu" },
        });
        const appended = await log.appender.append([plain, full]);
        expect(appended).toEqual([
          { kind: "created", event: { ...plain, position: 1 as EventPosition } },
          { kind: "created", event: { ...full, position: 2 as EventPosition } },
        ]);
        expect(await log.reader.byId(full.id, anchorScope)).toEqual({ ...full, position: 2 as EventPosition });
      });

      test("keeps text, binary and missing data apart", async () => {
        const text = samples.event({ dataKind: "text", dataContentType: "text/plain", data: "héllo\u0000world" });
        const binary = samples.event({ dataKind: "base64", dataContentType: "image/png", data: "iVBORw0KGgo=" });
        const none = samples.event({ data: null });
        await log.appender.append([text, binary, none]);
        const read = await log.feed.readAfter(start, all);
        expect(read.map((event) => [event.dataKind, event.data])).toEqual([
          ["text", "héllo\u0000world"],
          ["base64", "iVBORw0KGgo="],
          ["json", null],
        ]);
      });

      test("an empty batch is accepted and does nothing", async () => {
        expect(await log.appender.append([])).toEqual([]);
        expect(await log.feed.newest()).toBe(start);
      });

      test("positions follow the order of calls and of each batch, without a gap", async () => {
        const batches = Array.from({ length: 20 }, () => [samples.event(), samples.event(), samples.event()]);
        await Promise.all(batches.map((batch) => log.appender.append(batch)));
        const read = await log.feed.readAfter(start, all);
        expect(read.map((event) => event.id)).toEqual(batches.flat().map((event) => event.id));
        expect(read.map((event) => Number(event.position))).toEqual(read.map((_, index) => index + 1));
      });

      test("an event that was answered can be read at once", async () => {
        const event = samples.event();
        await log.appender.append([event]);
        const read = await log.feed.readAfter(start, all);
        expect(read.map((one) => one.id)).toEqual([event.id]);
      });

      test("a batch that cannot be written is refused whole, and others are not harmed", async () => {
        const first = samples.event();
        await log.appender.append([first]);
        const good = samples.event();
        const clash = [samples.event(), samples.event({ id: first.id })];
        const after = samples.event();
        const [goodResult, clashResult, afterResult] = await Promise.allSettled([
          log.appender.append([good]),
          log.appender.append(clash),
          log.appender.append([after]),
        ]);
        expect([goodResult.status, clashResult.status, afterResult.status]).toEqual([
          "fulfilled",
          "rejected",
          "fulfilled",
        ]);
        const read = await log.feed.readAfter(start, all);
        expect(read.map((event) => event.id)).toEqual([first.id, good.id, after.id]);
        expect(read.map((event) => Number(event.position))).toEqual([1, 2, 3]);
      });

      test("more than 10,000 events waiting are refused with OVERLOADED, whole batches at a time", async () => {
        const batch = (): readonly ReturnType<typeof samples.event>[] =>
          Array.from({ length: 1_000 }, () => samples.event());
        const calls = Array.from({ length: 12 }, () => log.appender.append(batch()));
        const settled = await Promise.allSettled(calls);
        const refused = settled.filter((call) => call.status === "rejected");
        expect(refused.length).toBeGreaterThan(0);
        for (const call of refused) expect(call.reason).toMatchObject({ code: "OVERLOADED" });
        expect(Number(await log.feed.newest())).toBe((12 - refused.length) * 1_000);
        // What was refused may be sent again as soon as others are through.
        await log.appender.append([samples.event()]);
      });

      test("more than 32 MiB of data waiting are refused with OVERLOADED", async () => {
        const data = JSON.stringify("x".repeat(262_000));
        const calls = Array.from({ length: 130 }, () => log.appender.append([samples.event({ data })]));
        const settled = await Promise.allSettled(calls);
        const refused = settled.filter((call) => call.status === "rejected");
        expect(refused.length).toBeGreaterThan(0);
        for (const call of refused) expect(call.reason).toMatchObject({ code: "OVERLOADED" });
      });
    });

    describe("deduplication", () => {
      test("a repeat answers with the first event and appends nothing", async () => {
        const first = samples.event({ deduplicationId: "d1" });
        const [created] = await log.appender.append([first]);
        const [repeat] = await log.appender.append([samples.event({ deduplicationId: "d1" })]);
        expect(repeat).toEqual({ kind: "duplicate", event: created!.event });
        expect(await log.feed.newest()).toBe(1 as EventPosition);
      });

      test("is exact inside one batch", async () => {
        const batch = ["a", "b", "a", null, "b", null, "a"].map((deduplicationId) =>
          samples.event({ deduplicationId }),
        );
        const appended = await log.appender.append(batch);
        expect(appended.map((one) => [one.kind, Number(one.event.position)])).toEqual([
          ["created", 1],
          ["created", 2],
          ["duplicate", 1],
          ["created", 3],
          ["duplicate", 2],
          ["created", 4],
          ["duplicate", 1],
        ]);
        expect(appended[6]!.event.id).toBe(batch[0]!.id);
      });

      test("50 equal requests at once make one event", async () => {
        const calls = Array.from({ length: 50 }, () =>
          log.appender.append([samples.event(), samples.event({ deduplicationId: "same", clientId: clientA })]),
        );
        const answers = (await Promise.all(calls)).map((answer) => answer[1]!);
        expect(answers.filter((answer) => answer.kind === "created")).toHaveLength(1);
        expect(new Set(answers.map((answer) => answer.event.id)).size).toBe(1);
        expect(Number(await log.feed.newest())).toBe(51);
      });

      test("clients and the platform have keys of their own", async () => {
        const batch = [null, clientA, clientB].map((clientId) => samples.event({ clientId, deduplicationId: "d" }));
        const appended = await log.appender.append(batch);
        expect(appended.map((one) => one.kind)).toEqual(["created", "created", "created"]);
      });

      test("a key is free again when the window is over", async () => {
        await log.appender.append([samples.event({ deduplicationId: "d", createdAtMs: sampleTimeMs })]);
        await log.advance(168 * hourMs - 1);
        const [repeat] = await log.appender.append([samples.event({ deduplicationId: "d" })]);
        expect(repeat!.kind).toBe("duplicate");
        await log.advance(2);
        const again = samples.event({ deduplicationId: "d", createdAtMs: sampleTimeMs + 168 * hourMs + 1 });
        const [created] = await log.appender.append([again]);
        expect(created).toMatchObject({ kind: "created", event: { id: again.id } });
        const [repeatOfSecond] = await log.appender.append([samples.event({ deduplicationId: "d" })]);
        expect(repeatOfSecond).toMatchObject({ kind: "duplicate", event: { id: again.id } });
      });
    });

    describe("reading forward", () => {
      test("goes on after a position, at most so many events", async () => {
        await log.appender.append(Array.from({ length: 10 }, () => samples.event()));
        const first = await log.feed.readAfter(start, { ...all, maxEvents: 4 });
        expect(first.map((event) => Number(event.position))).toEqual([1, 2, 3, 4]);
        const rest = await log.feed.readAfter(first[3]!.position, all);
        expect(rest.map((event) => Number(event.position))).toEqual([5, 6, 7, 8, 9, 10]);
        expect(await log.feed.readAfter(10 as EventPosition, all)).toEqual([]);
      });

      test("ends at the byte limit, but always gives one event", async () => {
        const data = JSON.stringify("x".repeat(998));
        await log.appender.append(Array.from({ length: 5 }, () => samples.event({ data })));
        const two = await log.feed.readAfter(start, { ...all, maxBytes: 2_500 });
        expect(two.map((event) => Number(event.position))).toEqual([1, 2]);
        expect(two.map((event) => event.data)).toEqual([data, data]);
        const one = await log.feed.readAfter(start, { ...all, maxBytes: 1 });
        expect(one).toHaveLength(1);
      });

      test("leaves out the data when it is not wanted, and tells its size in bytes all the same", async () => {
        await log.appender.append([samples.event({ data: '"é"' })]);
        const [event] = await log.feed.readAfter(start, { ...all, withData: false });
        expect(event).toMatchObject({ data: null, dataBytes: 4, dataKind: "json" });
      });

      test("wakes whoever listens, until they stop", async () => {
        let woken = 0;
        const stop = log.feed.onAppended(() => woken++);
        await log.appender.append([samples.event()]);
        expect(woken).toBeGreaterThan(0);
        stop();
        const before = woken;
        await log.appender.append([samples.event()]);
        expect(woken).toBe(before);
      });
    });

    test("a tenant reads its own events and the platform's, not another tenant's", async () => {
      const [platform, own, other] = [null, clientA, clientB].map((clientId) => samples.event({ clientId }));
      await log.appender.append([platform!, own!, other!]);
      const scope = { kind: "client", clientId: clientA } as const;
      expect((await log.reader.byId(platform!.id, scope))?.id).toBe(platform!.id);
      expect((await log.reader.byId(own!.id, scope))?.id).toBe(own!.id);
      expect(await log.reader.byId(other!.id, scope)).toBeNull();
      expect((await log.reader.byId(other!.id, anchorScope))?.id).toBe(other!.id);
      expect(await log.reader.byId(samples.event().id, anchorScope)).toBeNull();
      expect(await log.reader.byId("evt_\0" as EventId, anchorScope)).toBeNull();
    });
  });
}
