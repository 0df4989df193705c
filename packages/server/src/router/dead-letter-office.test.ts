import { afterEach, describe, expect, test } from "bun:test";
import type { DeadLetterList, DeadLetterOut, SettleDeadLettersAnswer } from "@flowcatalyst/contracts";
import { seededRandom, silentLogger } from "@flowcatalyst/foundation";
import type { MessageId, PoolCode } from "../domain/ids.ts";
import type { QueueMessage } from "../domain/message.ts";
import type { DeadLetterQueue } from "./dead-letter-pages.ts";
import { createRouterApp } from "./router-api.ts";
import { answer, setupRouter, type TestRouter } from "./router.fixture.ts";

let open: TestRouter[] = [];
afterEach(async () => {
  for (const bundle of open) await bundle.dispose();
  open = [];
});

type Answered = SettleDeadLettersAnswer & { readonly httpStatus: number };

/** A router on a queue of its own, and its API; `queuesOf` says which queues the API knows. */
async function setup(queuesOf: (own: DeadLetterQueue) => readonly DeadLetterQueue[] = (own) => [own]) {
  const t = setupRouter();
  open.push(t);
  const { router, clock, metrics, queue } = t;
  const queues = queuesOf(queue);
  const deps = { router, queues: () => queues, clock, metrics, random: seededRandom(1), logger: silentLogger() };
  const app = createRouterApp(deps, { apiTokens: [], version: "0.1.0", addresses: {} });
  const list = async (query = ""): Promise<DeadLetterList> => {
    const response = await app.request(`/monitoring/dead-letters${query}`);
    return (await response.json()) as DeadLetterList;
  };
  const act = async (name: "replay" | "discard", body: unknown): Promise<Answered> => {
    const path = `/api/router/dead-letters/${name}`;
    const response = await app.request(path, { method: "POST", body: JSON.stringify(body) });
    return { ...((await response.json()) as SettleDeadLettersAnswer), httpStatus: response.status };
  };
  return { ...t, app, list, act };
}

const main = "main" as PoolCode;

function standalone(id: string, lane = main): QueueMessage {
  return {
    kind: "standalone",
    id: id as MessageId,
    lane,
    groupKey: null,
    deduplicationId: null,
    highPriority: false,
    target: "https://a.example/hook",
    payload: `{"id":"${id}"}`,
    contentType: "application/json",
    headers: {},
    secretRef: null,
    traceparent: null,
  };
}

/** Sets messages aside as a router does that could not deliver them. */
async function setAside(
  { queue, clock }: Pick<TestRouter, "queue" | "clock">,
  messages: readonly QueueMessage[],
  reason = "the target answered 404",
): Promise<void> {
  for (const message of messages) {
    await queue.publish([message]);
    const [received] = await queue.receive({ lane: message.lane, max: 1, waitMs: 0 }, new AbortController().signal);
    await queue.deadLetter(received!.receipt, reason);
    await clock.advance(1);
  }
}

const ids = (letters: readonly { readonly id: string | null }[]): (string | null)[] => letters.map(({ id }) => id);
const names = (count: number): QueueMessage[] => Array.from({ length: count }, (_, at) => standalone(`m${at}`));

describe("the list", () => {
  test("goes page by page from the newest to the oldest", async () => {
    const t = await setup();
    await setAside(t, names(5));
    const first = await t.list("?limit=2");
    expect(ids(first.items)).toEqual(["m4", "m3"]);
    expect(first.items[0]).toMatchObject({ queue: "sqlite", poolCode: "main", reason: "the target answered 404" });
    const second = await t.list(`?limit=2&cursor=${first.nextCursor}`);
    const third = await t.list(`?limit=2&cursor=${second.nextCursor}`);
    expect([ids(second.items), ids(third.items)]).toEqual([["m2", "m1"], ["m0"]]);
    expect(third).toEqual({ items: third.items, unpaged: [] });
  });

  test("shows those of one pool, or with a text in the reason", async () => {
    const t = await setup();
    await setAside(t, [standalone("a"), standalone("b", "other" as PoolCode)]);
    await setAside(t, [standalone("c")], "the target answered 410");
    expect(ids((await t.list("?poolCode=other")).items)).toEqual(["b"]);
    expect(ids((await t.list("?reason=410")).items)).toEqual(["c"]);
    expect(ids((await t.list("?reason=answered&poolCode=main")).items)).toEqual(["c", "a"]);
  });

  test("of several queues comes one after the other, or of the one that is named", async () => {
    const others = await setup();
    const t = await setup((own) => [own, named(others.queue, "second")]);
    await setAside(t, names(2));
    await setAside(others, [standalone("x"), standalone("y")]);
    const first = await t.list("?limit=3");
    expect(first.items.map(({ queue, id }) => `${queue} ${id}`)).toEqual(["sqlite m1", "sqlite m0", "second y"]);
    expect(ids((await t.list(`?limit=3&cursor=${first.nextCursor}`)).items)).toEqual(["x"]);
    expect(ids((await t.list("?queue=second")).items)).toEqual(["y", "x"]);
  });

  test("names a queue that cannot be paged, and gives it a page of its own", async () => {
    const others = await setup();
    const t = await setup((own) => [own, unpaged(others.queue, "bag"), named(own, "last")]);
    await setAside(t, names(1));
    await setAside(others, [standalone("x"), standalone("y"), standalone("z")]);
    const first = await t.list("?limit=2");
    expect([ids(first.items), first.unpaged]).toEqual([["m0"], []]);
    const second = await t.list(`?limit=2&cursor=${first.nextCursor}`);
    expect([ids(second.items), second.unpaged]).toEqual([["z", "y"], ["bag"]]);
    const third = await t.list(`?limit=2&cursor=${second.nextCursor}`);
    expect([ids(third.items), third.nextCursor]).toEqual([["m0"], undefined]);
  });

  test("shows one with all of its body", async () => {
    const t = await setup();
    await setAside(t, [{ ...standalone("long"), payload: "x".repeat(10_000) } as QueueMessage]);
    const { items } = await t.list();
    expect(items[0]?.body).toHaveLength(5_000);
    const one = (await (await t.app.request(`/monitoring/dead-letters/${items[0]?.key}`)).json()) as DeadLetterOut;
    expect(one).toMatchObject({ id: "long", queue: "sqlite", poolCode: "main" });
    expect(JSON.parse(one.body)).toMatchObject({ id: "long", payload: "x".repeat(10_000) });
    expect(ids((await t.list()).items)).toEqual(["long"]);
    expect((await t.app.request("/monitoring/dead-letters/nonsense")).status).toBe(404);
  });

  test.each([
    ["?limit=0", 400, "VALIDATION_FAILED"],
    ["?limit=101", 400, "VALIDATION_FAILED"],
    ["?colour=red", 400, "UNKNOWN_FIELD"],
    ["?cursor=nonsense", 400, "CURSOR_INVALID"],
    [`?cursor=${Buffer.from('["gone",null,null]').toString("base64url")}`, 400, "CURSOR_INVALID"],
    ["?queue=nobody", 404, "NOT_FOUND"],
  ])("refuses %s", async (...row) => {
    const [query, status, code] = row;
    const t = await setup();
    const response = await t.app.request(`/monitoring/dead-letters${query}`);
    expect([response.status, await response.json()]).toMatchObject([status, { code }]);
  });
});

describe("a replay", () => {
  test("delivers a message that had failed, under the id it had; a repeat finds nothing", async () => {
    const t = await setup();
    t.targets.behaviour = () => answer(404);
    await t.start();
    await t.queue.publish([standalone("m1")]);
    await t.elapse(10);
    const [letter] = (await t.list()).items;
    t.targets.behaviour = () => answer(200);
    const keys = [letter!.key, "nonsense"];
    expect(await t.act("replay", { keys })).toEqual({
      httpStatus: 200,
      dryRun: false,
      count: 1,
      results: [
        { key: letter!.key, queue: "sqlite", id: "m1", status: "REPLAYED" },
        { key: "nonsense", queue: "sqlite", id: null, status: "MISSING" },
      ],
      unpaged: [],
    });
    await t.elapse(10);
    expect(t.targets.ids()).toEqual(["m1", "m1"]);
    expect((await t.list()).items).toEqual([]);
    expect(await t.act("replay", { keys: [letter!.key] })).toMatchObject({
      count: 0,
      results: [{ status: "MISSING" }],
    });
  });

  test("can be repeated for a message that fails again at once, whose letter has the key of the first", async () => {
    const t = await setup();
    t.targets.behaviour = () => answer(404);
    await t.start();
    await t.queue.publish([standalone("m1")]);
    for (let round = 1; round <= 3; round += 1) {
      await t.elapse(10);
      expect(t.targets.ids()).toHaveLength(round);
      const { items } = await t.list();
      expect(await t.act("replay", { keys: ids(items.map(({ key }) => ({ id: key }))) })).toMatchObject({ count: 1 });
    }
  });

  test("that was cut between publishing and removing makes no second message", async () => {
    let cut = true;
    const t = await setup((own) => [
      {
        ...named(own, "sqlite"),
        settleDeadLetters: (keys, decide) =>
          own.settleDeadLetters(keys, async (letter) => {
            const decision = await decide(letter);
            if (cut) throw new Error("killed");
            return decision;
          }),
      },
    ]);
    await setAside(t, names(1));
    const [letter] = (await t.list()).items;
    expect((await t.act("replay", { keys: [letter!.key] })).httpStatus).toBe(500);
    expect(ids((await t.list()).items)).toEqual(["m0"]);
    cut = false;
    expect(await t.act("replay", { keys: [letter!.key] })).toMatchObject({ count: 1 });
    expect(await t.queue.metrics()).toMatchObject({ visible: 1, dead: 0 });
  });

  test("works for a message of the platform, whose jobs are delivered", async () => {
    const t = await setup();
    const job = t.book.add({ group: "g" });
    await t.publishRun([job]);
    const [received] = await t.queue.receive({ lane: main, max: 1, waitMs: 0 }, new AbortController().signal);
    await t.queue.deadLetter(received!.receipt, "this router has no database");
    const [letter] = (await t.list()).items;
    expect(await t.act("replay", { keys: [letter!.key] })).toMatchObject({ count: 1 });
    await t.start();
    await t.elapse(10);
    expect(t.targets.ids()).toEqual([job]);
  });

  test("keeps what cannot be read, and what the queue does not take, and says why", async () => {
    let refuses = true;
    const t = await setup((own) => [
      {
        ...named(own, "sqlite"),
        listDeadLetters: async (request) => {
          const page = await own.listDeadLetters(request);
          return { ...page, letters: page.letters.map(spoiled) };
        },
        settleDeadLetters: (keys, decide) => own.settleDeadLetters(keys, (letter) => decide(spoiled(letter))),
        publish: async (messages) => (refuses ? [{ kind: "refused", detail: "it is full" }] : own.publish(messages)),
      },
    ]);
    await setAside(t, [standalone("bad"), standalone("good")]);
    const keys = (await t.list()).items.map(({ key }) => key);
    expect((await t.act("replay", { keys })).results).toMatchObject([
      { id: "good", status: "REFUSED", code: "QUEUE_UNAVAILABLE", error: "it is full" },
      { id: "bad", status: "UNREADABLE", code: "MESSAGE_INVALID" },
    ]);
    expect((await t.list()).items).toHaveLength(2);
    refuses = false;
    expect(await t.act("replay", { keys, dryRun: true })).toMatchObject({
      dryRun: true,
      count: 1,
      results: [{ status: "REPLAYED" }, { status: "UNREADABLE" }],
    });
    expect(await t.queue.metrics()).toMatchObject({ visible: 0, dead: 2 });
    expect(await t.act("replay", { keys })).toMatchObject({ count: 1 });
    expect(ids((await t.list()).items)).toEqual(["bad"]);
  });

  test("of all goes on page by page, and does not meet again what failed again meanwhile", async () => {
    const t = await setup();
    await setAside(t, names(5));
    t.targets.behaviour = () => answer(404);
    await t.start();
    let cursor: string | undefined;
    const counts: number[] = [];
    do {
      const body = { all: true, limit: 2, ...(cursor === undefined ? {} : { cursor }) };
      const answered = await t.act("replay", body);
      counts.push(answered.count);
      cursor = answered.nextCursor;
      await t.elapse(10);
    } while (cursor !== undefined);
    expect(counts).toEqual([2, 2, 1]);
    expect(t.targets.ids().toSorted()).toEqual(["m0", "m1", "m2", "m3", "m4"]);
    expect((await t.list()).items).toHaveLength(5);
  });
});

describe("discarding", () => {
  test("takes those that match, after a dry run that changed nothing", async () => {
    const t = await setup();
    await setAside(t, [standalone("a"), standalone("b", "other" as PoolCode), standalone("c")]);
    const which = { all: true, poolCode: "main" };
    expect(await t.act("discard", { ...which, dryRun: true })).toMatchObject({ dryRun: true, count: 2 });
    expect((await t.list()).items).toHaveLength(3);
    const { count, results } = await t.act("discard", which);
    expect([count, results.map(({ id, status }) => `${id} ${status}`)]).toEqual([2, ["c DISCARDED", "a DISCARDED"]]);
    expect(ids((await t.list()).items)).toEqual(["b"]);
    expect(await t.queue.metrics()).toMatchObject({ visible: 0, dead: 1 });
  });

  test("empties a queue that shows only a few at a time, and ends at those it may not take", async () => {
    const t = await setup((own) => [unpaged(own, "bag")]);
    await setAside(t, [standalone("keep", "other" as PoolCode), ...names(5)]);
    let cursor: string | undefined;
    let rounds = 0;
    do {
      const body = { all: true, limit: 2, poolCode: "main", ...(cursor === undefined ? {} : { cursor }) };
      ({ nextCursor: cursor } = await t.act("discard", body));
      rounds += 1;
    } while (cursor !== undefined && rounds < 10);
    expect(rounds).toBe(4);
    expect(ids((await t.list()).items)).toEqual(["keep"]);
    const left = await t.act("discard", { all: true, poolCode: "main", dryRun: true });
    expect([left.count, left.unpaged]).toEqual([0, ["bag"]]);
  });

  test("answers each key, also one that stands there twice", async () => {
    const t = await setup();
    await setAside(t, names(1));
    const [letter] = (await t.list()).items;
    const { results } = await t.act("discard", { keys: [letter!.key, "nonsense", letter!.key] });
    expect(results.map(({ status }) => status)).toEqual(["DISCARDED", "MISSING", "DISCARDED"]);
  });

  test.each([
    [{}, "VALIDATION_FAILED"],
    [{ keys: [] }, "VALIDATION_FAILED"],
    [{ keys: Array.from({ length: 101 }, (_, at) => String(at)) }, "VALIDATION_FAILED"],
    [{ all: false }, "VALIDATION_FAILED"],
    [{ all: true, keys: ["1"] }, "UNKNOWN_FIELD"],
    [{ all: true, queue: "nobody" }, "NOT_FOUND"],
    [{ all: true, cursor: "nonsense" }, "CURSOR_INVALID"],
  ])("refuses %j", async (...row) => {
    const [body, code] = row;
    const t = await setup();
    await setAside(t, names(1));
    expect(await t.act("discard", body)).toMatchObject({ code });
    expect((await t.list()).items).toHaveLength(1);
  });

  test("wants to be told which queue where there are several", async () => {
    const t = await setup((own) => [own, named(own, "second")]);
    await setAside(t, names(1));
    const [letter] = (await t.list()).items;
    expect(await t.act("discard", { keys: [letter!.key] })).toMatchObject({
      code: "VALIDATION_FAILED",
      errors: [{ path: "queue", message: "is needed, because this router has several: sqlite, second" }],
    });
    expect(await t.act("discard", { keys: [letter!.key], queue: "second" })).toMatchObject({ count: 1 });
  });
});

/** The queue under another name. */
function named(queue: DeadLetterQueue, name: string): DeadLetterQueue {
  return {
    name,
    capabilities: queue.capabilities,
    publish: (messages) => queue.publish(messages),
    listDeadLetters: (request) => queue.listDeadLetters(request),
    settleDeadLetters: (keys, decide) => queue.settleDeadLetters(keys, decide),
  };
}

/** The queue as one that shows only as many as were asked for, and no further page. */
function unpaged(queue: DeadLetterQueue, name: string): DeadLetterQueue {
  return {
    ...named(queue, name),
    capabilities: { ...queue.capabilities, pagesDeadLetters: false },
    listDeadLetters: async ({ limit }) => ({ ...(await queue.listDeadLetters({ limit, after: null })), next: null }),
  };
}

function spoiled<Letter extends { readonly id: string | null; readonly body: string }>(letter: Letter): Letter {
  return letter.id === "bad" ? { ...letter, body: "{ not json" } : letter;
}
