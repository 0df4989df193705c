import { expect, test } from "bun:test";
import { FakeClock } from "@flowcatalyst/foundation";
import type { Transport, TransportRequest, TransportResult } from "../ports/transport.ts";
import { createDeliveryLines, deliveryLinesPerSecond } from "./delivery-lines.ts";

const ok: TransportResult = { kind: "response", status: 200, retryAfter: null, body: "" };

function setup(result: TransportResult = ok, isOpen = true) {
  const clock = new FakeClock();
  const lines: string[] = [];
  const documents: object[] = [];
  const inner: Transport = {
    post: async () => {
      await clock.sleep(12);
      return result;
    },
  };
  const announce = (document: object, text: () => readonly string[]): void => {
    documents.push(document);
    lines.push(...text());
  };
  const delivery = createDeliveryLines(inner, { clock, announce });
  if (isOpen) delivery.open();
  const stop = new AbortController();
  const post = async (changes: Partial<TransportRequest> = {}): Promise<TransportResult> => {
    const headers = { "x-flowcatalyst-event-type": "order.created", "x-flowcatalyst-attempt": "1" };
    const request = { url: "http://a.example/hook", address: "192.0.2.1", headers, body: "{}", timeoutMs: 1_000 };
    const posted = delivery.transport.post({ ...request, responseMaxBytes: 10, ...changes }, stop.signal);
    await clock.advance(12);
    return posted;
  };
  return { clock, lines, documents, delivery, stop, post };
}

test("a line for each answer, with its status and time; attempts after the first are named", async () => {
  const { lines, documents, post } = setup();
  expect(await post()).toMatchObject({ kind: "response", status: 200 });
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d {2}order\.created → http:\/\/a\.example\/hook {2}200 in 12 ms$/);
  const headers = { "webhook-id": "job_1", "x-flowcatalyst-attempt": "3" };
  await post({ headers });
  expect(lines[1]).toContain("job_1 → http://a.example/hook  attempt 3  200 in 12 ms");
  expect(documents).toMatchObject([
    { kind: "delivery", type: "order.created", attempt: 1, status: 200, tookMs: 12 },
    { kind: "delivery", type: null, attempt: 3, status: 200 },
  ]);
});

test("before the start is told, lines are kept; then they come in order", async () => {
  const { lines, post, delivery } = setup(ok, false);
  await post();
  await post({ headers: { "webhook-id": "job_2" } });
  expect(lines).toEqual([]);
  delivery.open();
  expect(lines.map((line) => line.includes("job_2"))).toEqual([false, true]);
});

test("what did not answer is told with its reason", async () => {
  const silent = setup({ kind: "timeout" });
  await silent.post();
  expect(silent.lines[0]).toEndWith("no answer in 12 ms");
  const refused = setup({ kind: "connectionFailed", detail: "ECONNREFUSED" });
  await refused.post();
  expect(refused.lines[0]).toEndWith("failed (ECONNREFUSED) in 12 ms");
  expect(refused.documents[0]).toMatchObject({ fault: "failed (ECONNREFUSED)" });
});

test("a target's own characters end no line and steer no terminal", async () => {
  const { lines, documents, post } = setup({ kind: "connectionFailed", detail: "bad\u001b[2Jthing" });
  const url = "http://a.example/\u001b[31m/\nforged";
  await post({ url });
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toMatch(/\p{Cc}/u);
  expect(documents[0]).toMatchObject({ url });
});

test("beyond so many in a second they are counted, and told in one line", async () => {
  const { clock, lines, documents, delivery, stop, post } = setup();
  const running = delivery.service.run(stop.signal);
  const posts = Array.from({ length: deliveryLinesPerSecond + 5 }, () => post());
  await clock.advance(12);
  await Promise.all(posts);
  expect(lines).toHaveLength(deliveryLinesPerSecond);
  await clock.advance(1_000);
  expect(lines.at(-1)).toEndWith("… and 5 more deliveries");
  expect(documents.at(-1)).toMatchObject({ kind: "moreDeliveries", count: 5 });
  await post();
  expect(lines).toHaveLength(deliveryLinesPerSecond + 2);
  stop.abort();
  await running;
});
