import { expect } from "bun:test";
import { deferredTold } from "./outbox-told.fixture.ts";
import { defaultRule, idOf, newRow, numbersOf, rowsOf, type OutboxCases } from "./outbox-source-bench.conformance.ts";

/** Cases of what an operator does, of tables that are missing, and of wake-ups, for every source. */

export function adminCases(cases: OutboxCases): void {
  cases.test("says what to run where the tables are missing, and is content after that", async () => {
    const admin = await cases.bench.elsewhere();
    const fault: unknown = await admin.source.verify().then(
      () => null,
      (error: unknown) => error,
    );
    expect(fault).toMatchObject({ code: "CONFIG_INVALID" });
    expect(String(fault)).toContain("outbox init");
    await admin.init();
    await admin.source.verify();
    await admin.source.probe();
    expect(await admin.source.counts(defaultRule)).toMatchObject({ pending: 0, oldestAgeMs: null });
  });
  cases.test("making the tables again changes nothing", async () => {
    expect(cases.admin.ddl().length).toBeGreaterThan(0);
    await cases.insert(newRow(1));
    const epoch = await cases.epoch();
    await cases.admin.pause("a look at it");
    await cases.admin.init();
    await cases.source.verify();
    expect(await cases.admin.control()).toMatchObject({ pausedReason: "a look at it" });
    await cases.admin.resume();
    expect(await cases.claimed({ epoch })).toEqual([1]);
  });
  cases.test("a pause stops claims of all processes, and says why; resume ends it", async () => {
    await cases.insert(newRow(1));
    const other = await cases.bench.another();
    await other.pause("the platform is moved");
    const paused = { kind: "paused", reason: "the platform is moved" } as const;
    expect(await cases.ask()).toEqual(paused);
    expect(await cases.ask({ which: "retries" })).toEqual(paused);
    await other.resume();
    expect(await cases.claimed()).toEqual([1]);
  });
  cases.test("says who has the lease, and until when", async () => {
    expect(await cases.admin.control()).toEqual({ pausedReason: null, holder: null, leaseUntil: null });
    const before = Date.now();
    await cases.source.lease.acquire("one", 60_000);
    const { holder, leaseUntil } = await cases.admin.control();
    expect(holder).toBe("one");
    expect(leaseUntil?.getTime()).toBeGreaterThan(before + 50_000);
    await cases.source.lease.release("one");
    expect(await cases.admin.control()).toMatchObject({ holder: null, leaseUntil: null });
  });
  cases.test("lists rows of some states, of a group or of all, oldest first and page by page", async () => {
    await cases.insert(...rowsOf(["a", "b", "a", "b", null]));
    await cases.claim({ maxRows: 1 });
    await cases.refuse(1);
    const states = [0, 2] as const;
    const first = await cases.admin.list({ states, group: null, limit: 2, after: null });
    expect(numbersOf(first.rows)).toEqual([1, 2]);
    const second = await cases.admin.list({ states, group: null, limit: 2, after: first.next });
    expect(numbersOf(second.rows)).toEqual([3, 4]);
    const third = await cases.admin.list({ states, group: null, limit: 2, after: second.next });
    expect(numbersOf(third.rows)).toEqual([5]);
    expect(third.next).toBeNull();
    const ofGroup = await cases.admin.list({ states, group: "a", limit: 10, after: null });
    expect(ofGroup).toMatchObject({
      next: null,
      rows: [
        { id: idOf(1), status: 2 },
        { id: idOf(3), status: 0 },
      ],
    });
    const pending = await cases.admin.list({ states: [0], group: "a", limit: 10, after: null });
    expect(numbersOf(pending.rows)).toEqual([3]);
    expect(pending.rows[0]).toMatchObject({ form: "platform", type: "EVENT", group: "a", retryCount: 0, error: null });
    expect(pending.rows[0]).toMatchObject({ payloadBytes: Buffer.byteLength('{"number":3}') });
  });
}

export function choiceCases(cases: OutboxCases): void {
  cases.test("skips rows by id with a reason, but none in progress or final", async () => {
    await cases.insert(...rowsOf(["a", "b", "c", null]));
    await cases.fail(1);
    await cases.claim({ maxRows: 1 });
    await cases.done(2);
    await cases.claim({ maxRows: 1 });
    const which = { kind: "ids", ids: [1, 2, 3, 4, 99].map((number) => idOf(number)) } as const;
    expect(await cases.admin.count(which, "skip")).toBe(2);
    expect(await cases.admin.count(which, "retry")).toBe(1);
    expect(await cases.admin.skip(which, "not wanted", 100)).toBe(2);
    expect(await cases.admin.count(which, "skip")).toBe(0);
    expect(await cases.admin.count(which, "retry")).toBe(2);
    expect(await cases.statuses()).toEqual({ 1: 2, 2: 1, 3: 9, 4: 2 });
    expect(await cases.row(4)).toMatchObject({ error: "not wanted" });
  });
  cases.test("a skipped row lets those behind it pass", async () => {
    await cases.insert(...rowsOf(["a", "a"]));
    await cases.fail(1);
    expect(await cases.admin.skip({ kind: "group", group: "a", states: [3] }, "not wanted", 100)).toBe(1);
    expect(await cases.claimed()).toEqual([2]);
  });
  cases.test("retries rows that wait or were refused, with all retries", async () => {
    await cases.insert(...rowsOf(["a", "a", "b"]));
    const all = await cases.claimRows();
    await cases.source.release(all.slice(1));
    await cases.source.settle([{ kind: "refused", id: idOf(1), status: 5, error: "not yours" }]);
    await cases.fail(2, 2);
    const which = { kind: "states", states: [2, 3, 4, 5, 6] } as const;
    expect(await cases.admin.count(which, "retry")).toBe(2);
    expect(await cases.admin.retry(which, 100)).toBe(2);
    expect(await cases.row(2)).toMatchObject({ status: 0, retryCount: 0, error: null });
    expect(await cases.claimed()).toEqual([1, 2, 3]);
  });
  cases.test("touches no more than it is told, oldest first", async () => {
    await cases.insert(...rowsOf(["a", "b", "a", "a"]));
    const which = { kind: "group", group: "a", states: [0] } as const;
    expect(await cases.admin.count(which, "skip")).toBe(3);
    expect(await cases.admin.skip(which, "not wanted", 2)).toBe(2);
    expect(await cases.statuses()).toEqual({ 1: 2, 2: 0, 3: 2, 4: 0 });
    expect(await cases.admin.retry({ kind: "states", states: [2] }, 1)).toBe(1);
    expect(await cases.statuses()).toEqual({ 1: 0, 2: 0, 3: 2, 4: 0 });
  });
  cases.test("a row in a state that there is not counts as refused, and can be tried again", async () => {
    await cases.insert(...rowsOf(["a", "a", "b", "b", "c"]));
    for (const [number, status] of [7, -1, 300].entries()) await cases.bench.overwrite(idOf(number + 1), { status });
    expect(await cases.source.counts(defaultRule)).toMatchObject({ pending: 2, refused: 3 });
    const refused = await cases.admin.list({ states: [2, 5], group: null, limit: 10, after: null });
    expect(refused.rows).toMatchObject([1, 2, 3].map((number) => ({ id: idOf(number), status: 2 })));
    const ofGroup = await cases.admin.list({ states: [2], group: "b", limit: 10, after: null });
    expect(numbersOf(ofGroup.rows)).toEqual([3]);
    expect(await cases.claimed()).toEqual([4, 5]);
    expect(await cases.admin.retry({ kind: "ids", ids: [idOf(1)] }, 10)).toBe(1);
    expect(await cases.admin.retry({ kind: "group", group: "a", states: [2, 5] }, 10)).toBe(1);
    expect(await cases.admin.count({ kind: "states", states: [2] }, "retry")).toBe(1);
    expect(await cases.admin.count({ kind: "states", states: [0, 3] }, "skip")).toBe(2);
    expect(await cases.claimed()).toEqual([1, 2]);
  });
  cases.test("rows in progress are never among those chosen", async () => {
    await cases.insert(...rowsOf(["a"]));
    await cases.claim();
    for (const which of [
      { kind: "ids", ids: [idOf(1)] },
      { kind: "group", group: "a", states: [9, 0] },
      { kind: "states", states: [9, 0] },
    ] as const) {
      expect(await cases.admin.count(which, "skip")).toBe(0);
      expect(await cases.admin.count(which, "retry")).toBe(0);
      expect(await cases.admin.skip(which, "not wanted", 10)).toBe(0);
      expect(await cases.admin.retry(which, 10)).toBe(0);
    }
  });
}

export function listenCases(cases: OutboxCases, wakeUps: boolean): void {
  cases.test("an abort ends listening, at once and also before it began", async () => {
    const stop = new AbortController();
    const listening = cases.source.listen(() => undefined, stop.signal);
    stop.abort();
    await listening;
    await cases.source.listen(() => undefined, stop.signal);
    expect(cases.source.capabilities.wakeUps).toBe(wakeUps);
  });
  if (!wakeUps) return;
  cases.test("whoever listens is told of rows that another process commits", async () => {
    const stop = new AbortController();
    const told = deferredTold();
    const listening = cases.source.listen(told.tell, stop.signal);
    // The first call says that it listens: something may have come before.
    await told.next();
    await cases.insert(newRow(1));
    await told.next();
    expect(await cases.claimed()).toEqual([1]);
    stop.abort();
    await listening;
  });
}
