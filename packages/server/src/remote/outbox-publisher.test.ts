import { afterAll, beforeAll, expect, test } from "bun:test";
import { systemClock } from "@flowcatalyst/foundation";
import type { OutboxRowId } from "../domain/outbox-row.ts";
import {
  describeOutboxPublisherConformance,
  type OutboxPublisherBench,
  type ReceivedRequest,
} from "../ports/outbox-publisher.conformance.ts";
import type { OutboxKind, OutboxPublisher } from "../ports/outbox-publisher.ts";
import { createOutboxPublisher } from "./outbox-publisher.ts";
import { openRemotePlatform, testToken, type RemotePlatform } from "./remote-platform.fixture.ts";

describeOutboxPublisherConformance("http", openBench);

function openBench(): OutboxPublisherBench {
  const received: ReceivedRequest[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const seen = {
        path: new URL(request.url).pathname,
        headers: request.headers.toJSON(),
        body: await request.json(),
      };
      received.push(seen);
      return bench.answer(seen) ?? new Promise<never>(() => undefined);
    },
  });
  const publisher = publisherAt(`http://127.0.0.1:${server.port}`, 100);
  const bench: OutboxPublisherBench = {
    publisher,
    answer: () => null,
    received,
    goAway: () => server.stop(true),
    close: () => server.stop(true),
  };
  return bench;
}

function publisherAt(url: string, timeoutMs = 5_000, token: string | null = testToken): OutboxPublisher {
  const config = { baseUrl: () => url, token, userAgent: "FlowCatalyst/test", timeoutMs };
  return createOutboxPublisher({ clock: systemClock() }, config);
}

let remote: RemotePlatform;
beforeAll(() => {
  remote = openRemotePlatform();
});
afterAll(() => remote.close());

const never = new AbortController().signal;
const items: Readonly<Record<Exclude<OutboxKind, "ROUTER_MESSAGE">, object>> = {
  EVENT: { type: "shop.order.created", source: "shop", data: {}, deduplicationId: "row1" },
  DISPATCH_JOB: { targetUrl: "https://shop.example/hook", payload: {}, idempotencyKey: "row1" },
  AUDIT_LOG: { entityType: "Order", entityId: "1", operation: "CREATE", id: "0HZXEQ5Y8JY5Z" },
};

for (const kind of ["EVENT", "DISPATCH_JOB", "AUDIT_LOG"] as const) {
  test(`the platform takes ${kind}, refuses a bad one alone, and knows it when it comes again`, async () => {
    const good = { id: "row1" as OutboxRowId, json: JSON.stringify(items[kind]) };
    const bad = { id: "row2" as OutboxRowId, json: '{"party":true}' };
    const publisher = publisherAt(remote.url);
    for (let round = 0; round < 2; round++) {
      const outcome = await publisher.publish({ kind, items: [good, bad] }, never);
      // The row keeps the reason: where it stood in a request says nothing there.
      const error = expect.stringMatching(/^(?!.*items\[)\S/);
      expect(outcome).toMatchObject({ kind: "answered", results: [{ kind: "done" }, { kind: "badRequest", error }] });
    }
  });
}

test("the platform refuses another token, and the token is told to nobody", async () => {
  const outcome = await publisherAt(remote.url, 5_000, "wrong-token").publish({ kind: "EVENT", items: [] }, never);
  const { origin } = new URL(remote.url);
  const error = expect.stringContaining(`${origin} refuses the token (401): check FC_API_TOKEN`);
  expect(outcome).toMatchObject({ kind: "unauthorized", error });
  expect(JSON.stringify(outcome)).not.toContain("wrong-token");
});

test("an address where nobody listens is named, without a password", async () => {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const place = `127.0.0.1:${server.port}`;
  await server.stop(true);
  const outcome = await publisherAt(`http://me:secret@${place}`).publish({ kind: "EVENT", items: [] }, never);
  expect(outcome).toMatchObject({ kind: "unreachable", error: expect.stringContaining(`http://${place} cannot be`) });
  expect(JSON.stringify(outcome)).not.toContain("secret");
});

test("an answer without end is cut off, and no memory is spent on it", async () => {
  let sent = 0;
  const chunk = new Uint8Array(1_048_576).fill(32);
  const pull = (controller: ReadableStreamDefaultController): void => {
    sent += 1;
    controller.enqueue(chunk);
  };
  const fetch = (): Response => new Response(new ReadableStream({ pull }));
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch });
  try {
    const outcome = await publisherAt(`http://127.0.0.1:${server.port}`).publish({ kind: "EVENT", items: [] }, never);
    expect(outcome).toMatchObject({ kind: "unreachable", error: expect.stringContaining("more than the API ever") });
    expect(sent).toBeLessThan(100);
  } finally {
    await server.stop(true);
  }
});
