import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { OutboxRowId } from "../domain/outbox-row.ts";
import type { OutboxKind, OutboxPublisher, PublishOutcome } from "./outbox-publisher.ts";

/** A publisher, and the other side as a test scripts it. */
export interface OutboxPublisherBench {
  readonly publisher: OutboxPublisher;
  /** What the other side answers: null is no answer at all. */
  answer: (request: ReceivedRequest) => Response | null;
  readonly received: readonly ReceivedRequest[];
  /** Nobody listens any more. */
  goAway(): Promise<void>;
  close(): Promise<void>;
}

export interface ReceivedRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

const never = new AbortController().signal;
const kinds: readonly OutboxKind[] = ["EVENT", "DISPATCH_JOB", "AUDIT_LOG", "ROUTER_MESSAGE"];
const idOf = (number: number): OutboxRowId => `row${number}` as OutboxRowId;
const items = [1, 2].map((number) => ({
  id: idOf(number),
  json: `{"id":"row${number}","large":12345678901234567890}`,
}));

/** The suite that every publisher passes. */
export function describeOutboxPublisherConformance(name: string, setup: () => OutboxPublisherBench): void {
  describe(`outbox publisher conformance: ${name}`, () => {
    let bench: OutboxPublisherBench;
    beforeEach(() => {
      bench = setup();
    });
    afterEach(() => bench.close());
    const publish = (kind: OutboxKind = "EVENT", signal = never): Promise<PublishOutcome> =>
      bench.publisher.publish({ kind, items }, signal);

    for (const kind of kinds) {
      test(`${kind}: one request carries all items as they are, and is answered by position`, async () => {
        bench.answer = () => answerTo(kind, ["ok", "bad"]);
        expect(await publish(kind)).toEqual({
          kind: "answered",
          results: [{ kind: "done" }, { kind: "badRequest", error: expect.stringContaining("why") }],
        });
        expect(bench.received).toHaveLength(1);
        expect(JSON.stringify(bench.received[0]?.body)).toContain('{"id":"row1","large":');
      });
      test(`${kind}: what may be sent again is told from what may not`, async () => {
        bench.answer = () => answerTo(kind, ["again", "ok"]);
        expect(await publish(kind)).toMatchObject({ results: [{ kind: "internalError" }, { kind: "done" }] });
      });
      test(`${kind}: an answer about fewer or other items is none`, async () => {
        for (const body of [{}, { results: [] }, { count: 0, results: [{ status: "PARTY" }, { status: "PARTY" }] }]) {
          bench.answer = () => Response.json(body);
          expect(await publish(kind)).toMatchObject({ kind: "faulty" });
        }
      });
    }

    const outcomes: readonly [status: number, outcome: PublishOutcome["kind"]][] = [
      ...[400, 413, 422].map((status) => [status, "refused"] as const),
      [401, "unauthorized"],
      [403, "forbidden"],
      ...[404, 429, 502, 503, 504].map((status) => [status, "unreachable"] as const),
      ...[409, 500, 507].map((status) => [status, "faulty"] as const),
    ].map(([status, outcome]) => [Number(status), outcome as PublishOutcome["kind"]]);
    for (const [status, kind] of outcomes) {
      test(`${status} for the whole request is ${kind}, with the reason`, async () => {
        bench.answer = () => Response.json({ detail: "the reason" }, { status });
        expect(await publish()).toMatchObject({ kind, error: expect.stringContaining("the reason") });
      });
    }

    test("says how long to wait, if it is told", async () => {
      bench.answer = () => new Response("", { status: 503, headers: { "retry-after": "7" } });
      expect(await publish()).toMatchObject({ kind: "unreachable", retryAfterMs: 7_000 });
      bench.answer = () => new Response("", { status: 503 });
      expect(await publish()).toMatchObject({ kind: "unreachable", retryAfterMs: null });
    });
    test("nobody there, no answer, no JSON and a redirect are all unreachable", async () => {
      bench.answer = () => new Response("<html>");
      expect(await publish()).toMatchObject({ kind: "unreachable" });
      bench.answer = () => new Response("", { status: 302, headers: { location: "http://127.0.0.1:1/" } });
      expect(await publish()).toMatchObject({ kind: "unreachable" });
      bench.answer = () => null;
      expect(await publish()).toMatchObject({ kind: "unreachable", error: expect.stringContaining("within") });
      await bench.goAway();
      expect(await publish()).toMatchObject({ kind: "unreachable" });
    });
    test("an abort ends the wait for an answer", async () => {
      const stop = new AbortController();
      bench.answer = () => {
        stop.abort();
        return null;
      };
      expect(await publish("EVENT", stop.signal)).toMatchObject({ kind: "unreachable" });
    });
  });
}

type Said = "ok" | "bad" | "again";

function answerTo(kind: OutboxKind, said: readonly Said[]): Response {
  const statuses =
    kind === "ROUTER_MESSAGE"
      ? { ok: "PUBLISHED", bad: "INVALID", again: "REFUSED" }
      : { ok: "SUCCESS", bad: "BAD_REQUEST", again: "INTERNAL_ERROR" };
  const results = said.map((each, at) => ({ id: `row${at}`, status: statuses[each], error: "why" }));
  return Response.json({ count: said.length, results });
}
