import { describe, expect, test } from "bun:test";
import { createEventBatchSchema, createEventSchema, wireLimits } from "@flowcatalyst/contracts";
import fc from "fast-check";
import { eventLimits } from "../../domain/event.ts";
import { readOwnEvent } from "./own-event.ts";

const context = { nowMs: 1_767_225_600_000, dataMaxBytes: eventLimits.dataMaxBytes };

const key = fc.constantFrom("k", "key", "k".repeat(255), "k".repeat(256), "", "\ud800", "\u{1f600}");
const wrong = fc.constantFrom<unknown>(null, undefined, 1, true, {}, [], "");
const sloppy = (right: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 30, arbitrary: right }, wrong);
const time = fc.constantFrom(
  "2026-01-31T12:00:00Z",
  "2026-01-31T12:00:00.123456+02:00",
  "2026-01-31t12:00:00.1z",
  "2026-13-31T12:00:00Z",
  "2026-02-30T12:00:00Z",
  "2026-01-31T24:00:00Z",
  "9999-12-31T23:59:59-01:00",
  "2026-01-31",
  "yesterday",
);
const datum = fc.record({ key: sloppy(key), value: sloppy(fc.string()), extra: wrong }, { requiredKeys: ["key"] });

/** Bodies around the border between right and wrong. */
const event = fc.record(
  {
    type: sloppy(fc.constantFrom("order.created", "a:b:c:d", "t".repeat(255), "t".repeat(256))),
    source: sloppy(fc.constantFrom("/shop", "s".repeat(2_048), "s".repeat(2_049))),
    specVersion: sloppy(fc.constantFrom("1.0", "0.3")),
    subject: sloppy(fc.constantFrom("", "o-1", "s".repeat(1_025))),
    time: sloppy(time),
    data: fc.jsonValue(),
    dataContentType: sloppy(fc.constantFrom("application/json", "text/plain", "c".repeat(256), "a/b\r\nx: y", "a/b ")),
    dataSchema: sloppy(fc.string({ maxLength: 5 })),
    messageGroup: sloppy(key),
    correlationId: sloppy(key),
    causationId: sloppy(key),
    deduplicationId: sloppy(key),
    clientId: sloppy(fc.constantFrom("cli_1", "c".repeat(65))),
    contextData: sloppy(fc.array(fc.oneof(datum, wrong), { maxLength: 3 })),
    typ: fc.constant("misspelt"),
  },
  { requiredKeys: ["type", "source"] },
);

describe("an event in our JSON, read by hand", () => {
  test("is taken or refused exactly as the documented schema says", () => {
    fc.assert(
      fc.property(event, (body) => {
        const received: unknown = JSON.parse(JSON.stringify(body));
        const byHand = readOwnEvent(received, "", context).kind === "draft";
        expect(byHand).toBe(createEventSchema.safeParse(received).success);
      }),
      { numRuns: 3_000 },
    );
  });

  test("names the same paths as the schema does", () => {
    fc.assert(
      fc.property(event, (body) => {
        const received = JSON.parse(JSON.stringify({ events: [body] })) as { events: unknown[] };
        const read = readOwnEvent(received.events[0], "events[0]", context);
        const paths = read.kind === "invalid" ? read.faults.map(({ path }) => path) : [];
        const parsed = createEventBatchSchema.safeParse(received);
        const issues = parsed.success ? [] : parsed.error.issues;
        const expected = issues.flatMap((issue) => {
          const at = issue.path.slice(2).map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`));
          const base = `events[0]${at.join("")}`;
          return issue.code === "unrecognized_keys" ? issue.keys.map((name) => `${base}.${name}`) : [base];
        });
        expect(new Set(paths)).toEqual(new Set(expected));
      }),
      { numRuns: 1_000 },
    );
  });

  test("has limits that the domain agrees with", () => {
    expect(wireLimits.eventDataMaxBytes).toBe(eventLimits.dataMaxBytes);
    expect(wireLimits.batchMaxEvents).toBe(eventLimits.batchMaxEvents);
    expect(wireLimits.batchMaxBytes).toBe(eventLimits.batchMaxBytes);
    expect(wireLimits.eventTypeMaxChars).toBe(eventLimits.typeMaxChars);
  });
});

describe("data in our JSON", () => {
  const dataOf = (members: object): unknown => {
    const read = readOwnEvent({ type: "t", source: "s", ...members }, "", context);
    return read.kind === "draft" ? [read.draft.dataKind, read.draft.data, read.draft.dataContentType] : read;
  };

  test("is kept as the JSON text that was meant", () => {
    expect(dataOf({})).toEqual(["json", null, "application/json"]);
    expect(dataOf({ data: null })).toEqual(["json", null, "application/json"]);
    expect(dataOf({ data: { a: [1, "x"] } })).toEqual(["json", '{"a":[1,"x"]}', "application/json"]);
    expect(dataOf({ data: '{"orderId": "123"}' })).toEqual(["json", '{"orderId": "123"}', "application/json"]);
    expect(dataOf({ data: " [1, 2] " })).toEqual(["json", " [1, 2] ", "application/json"]);
    expect(dataOf({ data: "plain words" })).toEqual(["json", '"plain words"', "application/json"]);
    expect(dataOf({ data: "{not json" })).toEqual(["json", '"{not json"', "application/json"]);
    expect(dataOf({ data: "12" })).toEqual(["json", '"12"', "application/json"]);
  });

  test("is text when its content type is not JSON", () => {
    expect(dataOf({ data: "<a/>", dataContentType: "application/xml" })).toEqual(["text", "<a/>", "application/xml"]);
    expect(dataOf({ data: "{}", dataContentType: "text/plain" })).toEqual(["text", "{}", "text/plain"]);
    expect(dataOf({ data: "{}", dataContentType: "application/vnd.x+json" })).toEqual([
      "json",
      "{}",
      "application/vnd.x+json",
    ]);
  });

  test("that UTF-8 cannot carry is refused where it would be sent as it is", () => {
    const kind = (members: object): string => readOwnEvent({ type: "t", source: "s", ...members }, "", context).kind;
    expect(kind({ data: '{"a":"\ud800"}' })).toBe("invalid");
    expect(kind({ data: "\ud800", dataContentType: "text/plain" })).toBe("invalid");
    expect(dataOf({ data: { a: "\ud800" } })).toEqual(["json", '{"a":"\\ud800"}', "application/json"]);
  });

  test("over 256 KiB is too large, measured in bytes", () => {
    const limit = eventLimits.dataMaxBytes;
    const read = (data: unknown): string => readOwnEvent({ type: "t", source: "s", data }, "", context).kind;
    expect(read("x".repeat(limit - 2))).toBe("draft");
    expect(read("x".repeat(limit - 1))).toBe("tooLarge");
    expect(read("ü".repeat(limit / 2 - 1))).toBe("draft");
    expect(read("ü".repeat(limit / 2))).toBe("tooLarge");
  });

  test("nested deeper than a delivery may be is refused", () => {
    const nested = (depth: number): unknown => JSON.parse("[".repeat(depth) + "]".repeat(depth));
    const kind = (depth: number): string =>
      readOwnEvent({ type: "t", source: "s", data: nested(depth) }, "", context).kind;
    expect(kind(500)).toBe("draft");
    expect(kind(501)).toBe("invalid");
  });
});
