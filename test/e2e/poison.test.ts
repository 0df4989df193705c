import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { callApi, request, subscribe } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";
import type { ServerProcess } from "../harness/server-process.ts";

/**
 * What can never be processed is set aside with its reason, where somebody can see it, and the rest goes on. Such rows
 * are written into the files while no process has them, because our own doors let none of them in.
 */

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = createSandbox();
});
afterEach(() => sandbox.end());

describe("an event", () => {
  test("whose data cannot be read: its timeline says so, and the events after it are delivered", async () => {
    const first = await sandbox.start();
    const receiver = sandbox.receiver();
    const targetUrl = `${receiver.url}/t`;
    await subscribe(first.apiUrl, { name: "t", eventTypes: ["p.*"], filter: "data.n > 0", targetUrl });
    const event = { type: "p.e", source: "/test", messageGroup: "g", data: { n: 1 } };
    await callApi(first.apiUrl, { method: "POST", path: "/api/events", body: event });
    await receiver.received("/t", 1);
    expect(await first.stop()).toBe(0);

    const poisoned = appendCopies(join(first.dataDir, "flowcatalyst.db"), ['{"n":', '{"n":2}', '{"n":3}']);
    const server = await sandbox.start({ dataDir: first.dataDir });
    const arrivals = await receiver.received("/t", 3);
    expect(arrivals.map(({ body }) => body)).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);

    const { body } = await request(server.apiUrl, `GET /api/events/${poisoned}/timeline`);
    expect(body).toMatchObject({
      entries: [{ kind: "ACCEPTED" }, { kind: "NOT_MATCHED", message: expect.stringContaining("Set aside") }],
    });
    const metrics = await fetch(`${server.metricsUrl}/metrics`);
    expect(await metrics.text()).toContain("fc_stream_poison_events_total 1\n");
    expect((await request(server.apiUrl, "GET /q/ready")).status).toBe(200);
  });
});

/** Appends copies of the first event with other data, as if they had been accepted; gives the id of the first one. */
function appendCopies(path: string, data: readonly string[]): string {
  const database = new Database(path);
  const columns = database.query<{ name: string }, []>("SELECT name FROM pragma_table_info('events')").all();
  const given: Readonly<Record<string, string>> = { position: "?1", id: "?2", data: "?3" };
  const values = columns.map(({ name }) => given[name] ?? name).join(", ");
  const append = database.query(`INSERT INTO events SELECT ${values} FROM events WHERE position = 1`);
  const idAt = (position: number): string => `evt_${"0".repeat(12)}${position}`;
  for (const [at, text] of data.entries()) append.run(at + 2, idAt(at + 2), text);
  database.query("UPDATE marks SET position = ?1 WHERE name = 'newest-event'").run(data.length + 1);
  database.close();
  return idAt(2);
}

describe("a stand-alone message, with the router on its own", () => {
  const started = (queuePath: string): Promise<ServerProcess> =>
    sandbox.start({
      args: ["router", "--queue", `sqlite:${queuePath}`],
      env: { FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8" },
    });

  const deadLetters = (server: ServerProcess, count: number): Promise<readonly unknown[]> =>
    eventually(`${count} dead letters`, async () => {
      const { body } = await request(server.routerUrl, "GET /monitoring/dead-letters");
      const items = body["items"] as readonly unknown[];
      return items.length >= count ? items : undefined;
    });

  test("is taken in both spellings, alone or among others, and delivered", async () => {
    const server = await started(join(sandbox.dataDir(), "queue.db"));
    const receiver = sandbox.receiver();
    const target = `${receiver.url}/t`;
    const camel = { poolCode: "P", mediationType: "HTTP", target, messageGroupId: "g", headers: { "x-own": "yes" } };
    const snake = { pool_code: "P", mediation_type: "HTTP", target, message_group_id: "g", deduplication_id: "once" };
    const bodies = [
      { ...camel, id: "m1", payload: { n: 1 } },
      { ...snake, id: "m2", payload: '{"n":2}', high_priority: true },
      [{ ...snake, id: "m2-again", payload: "{}" }],
      { messages: [{ ...camel, id: "m3", payload: "three" }] },
    ];
    const statuses: unknown[] = [];
    for (const body of bodies) {
      const answer = await callApi<{ results: { status: string }[] }>(server.routerUrl, {
        method: "POST",
        path: "/api/router/publish",
        body,
      });
      statuses.push(...answer.results.map(({ status }) => status));
    }
    expect(statuses).toEqual(["PUBLISHED", "PUBLISHED", "DUPLICATE", "PUBLISHED"]);
    const arrivals = await receiver.received("/t", 3);
    expect(arrivals.map(({ body }) => body)).toEqual(['{"n":1}', '{"n":2}', "three"]);
    expect(arrivals[0]!.headers).toMatchObject({
      "webhook-id": "m1",
      "x-own": "yes",
      "content-type": "application/json",
    });
  });

  test("of high priority goes before all that wait", async () => {
    const queue = `sqlite:${join(sandbox.dataDir(), "queue.db")}`;
    const env = { FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8", FC_ROUTER_POOL_CONCURRENCY: "1" };
    const server = await sandbox.start({ args: ["router", "--queue", queue], env });
    const receiver = sandbox.receiver();
    const gate = Promise.withResolvers<void>();
    receiver.answer("/t", () => gate.promise.then(() => new Response("")));
    const publish = async (id: string, highPriority: boolean): Promise<void> => {
      const body = { id, poolCode: "P", mediationType: "HTTP", target: `${receiver.url}/t`, payload: id, highPriority };
      await callApi(server.routerUrl, { method: "POST", path: "/api/router/publish", body });
    };
    for (const id of ["first", "second", "third"]) await publish(id, false);
    await publish("urgent", true);
    await eventually("all in the pipeline", async () => {
      const { body } = await request(server.routerUrl, "GET /monitoring/in-flight");
      return body["total"] === 4 ? true : undefined;
    });
    gate.resolve();
    const arrivals = await receiver.received("/t", 4);
    expect(arrivals.map(({ body }) => body)).toEqual(["first", "urgent", "second", "third"]);
  });

  test("is refused whole when it, or one beside it, cannot be", async () => {
    const server = await started(join(sandbox.dataDir(), "queue.db"));
    const message = { id: "m", poolCode: "P", mediationType: "HTTP", target: "http://127.0.0.1:9/", payload: 1 };
    const refusals = [
      [{ ...message, mediationType: "SQS" }, "MEDIATION_TYPE_UNSUPPORTED", "mediationType"],
      [
        [message, { ...message, id: "n", mediation_type: "GRPC", mediationType: undefined }],
        "MEDIATION_TYPE_UNSUPPORTED",
        "[1].mediationType",
      ],
      [{ ...message, target: "ftp://host/" }, "MESSAGE_INVALID", "target"],
      [{ ...message, colour: "red" }, "MESSAGE_INVALID", "colour"],
    ] as const;
    for (const [body, code, path] of refusals) {
      const answer = await request(server.routerUrl, "POST /api/router/publish", { body });
      expect(answer).toMatchObject({ status: 400, body: { code, errors: [{ path }] } });
    }
    const queues = await request(server.routerUrl, "GET /monitoring/queues");
    expect(queues.body).toMatchObject({ items: [{ visible: 0, inFlight: 0, delayed: 0, dead: 0 }] });
  });

  test("that cannot be read, or fails for good, is set aside with its reason; the rest goes on", async () => {
    const path = join(sandbox.dataDir(), "queue.db");
    const first = await started(path);
    expect(await first.stop()).toBe(0);
    const receiver = sandbox.receiver();
    receiver.answer("/refuses", () => new Response("no", { status: 422 }));
    const message = (id: string, target: string): string =>
      JSON.stringify({ id, poolCode: "P", mediationType: "HTTP", target, payload: id });
    enqueue(path, [
      message("one", `${receiver.url}/t`),
      "{nonsense",
      message("two", `${receiver.url}/t`),
      JSON.stringify({ id: "pigeon", mediationType: "PIGEON", target: "coop", payload: "x" }),
      message("refused", `${receiver.url}/refuses`),
      message("forbidden", "http://10.0.0.1/"),
      message("three", `${receiver.url}/t`),
    ]);
    const server = await started(path);
    const arrivals = await receiver.received("/t", 3);
    expect(new Set(arrivals.map(({ body }) => body))).toEqual(new Set(["one", "two", "three"]));
    const dead = await deadLetters(server, 4);
    for (const [id, reason, body] of [
      [null, "MESSAGE_INVALID: is not JSON", "{nonsense"],
      ["pigeon", "MEDIATION_TYPE_UNSUPPORTED: mediationType", '"id":"pigeon"'],
      ["refused", "the target answered 422", '"id":"refused"'],
      ["forbidden", "10.0.0.1 is private", '"id":"forbidden"'],
    ] as const) {
      const letter = {
        id,
        reason: expect.stringContaining(reason),
        body: expect.stringContaining(body),
        poolCode: "P",
      };
      expect(dead).toContainEqual(expect.objectContaining(letter));
    }
    const queues = await request(server.routerUrl, "GET /monitoring/queues");
    expect(queues.body).toMatchObject({ items: [{ visible: 0, inFlight: 0, delayed: 0, dead: 4 }] });
    const warnings = await request(server.routerUrl, "GET /monitoring/warnings");
    expect(warnings.body["items"]).toContainEqual(expect.objectContaining({ category: "SECURITY" }));
  });
});

/** Puts texts on the queue as another writer would: they are ready, in this order. */
function enqueue(path: string, bodies: readonly string[]): void {
  const database = new Database(path);
  const insert = database.query(
    `INSERT INTO queue_messages
       (seq, lane, kind, high, state, rank, receive_count, abandoned_count, published_at_ms, body)
     SELECT next_seq, 'P', 1, 0, 0, 1, 0, 0, ?1, ?2 FROM queue_state`,
  );
  for (const body of bodies) {
    insert.run(Date.now(), body);
    database.run("UPDATE queue_state SET total = total + 1, next_seq = next_seq + 1");
  }
  database.close();
}
