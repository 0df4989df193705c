import { expect } from "bun:test";
import { defaultRule, idOf, newRow, numbersOf, rowsOf, type OutboxCases } from "./outbox-source-bench.conformance.ts";

/** Cases of the older form of the table, whose states are words, for every source. */

export function routerFormCases(cases: OutboxCases): void {
  cases.test("gives rows with all that is in them", async () => {
    const headers = '{"x-a":"1"}';
    await cases.insert(
      newRow(1, { group: "a", pool: "FAST", deduplicationId: "once", headers, target: "https://a.test/hook" }),
      newRow(2),
    );
    const [first, second] = await cases.claimRows();
    const common = { form: "router", id: idOf(1), group: "a", payload: '{"number":1}', retryCount: 0 };
    expect(first).toMatchObject({
      ...common,
      poolCode: "FAST",
      target: "https://a.test/hook",
      deduplicationId: "once",
    });
    expect(JSON.parse(first?.headers ?? "")).toEqual(JSON.parse(headers));
    expect(second).toMatchObject({ id: idOf(2), group: null, poolCode: null, deduplicationId: null, headers: null });
    expect(second).toMatchObject({ payloadBytes: Buffer.byteLength('{"number":2}') });
  });
  cases.test("rows go through the same states: taken, refused, tried again, released", async () => {
    await cases.insert(...rowsOf([null, null, "a", "a", null]));
    const rows = await cases.claimRows();
    expect(numbersOf(rows)).toEqual([1, 2, 3, 4, 5]);
    expect(await cases.statuses()).toEqual({ 1: 9, 2: 9, 3: 9, 4: 9, 5: 9 });
    await cases.source.settle([
      { kind: "done", id: idOf(1) },
      { kind: "refused", id: idOf(2), status: 5, error: "not yours" },
      { kind: "failed", id: idOf(3), status: 6, error: "away", countsAsRetry: true },
    ]);
    await cases.source.release([rows[3]!]);
    expect(await cases.source.recover(0)).toBe(1);
    const listed = await cases.listed();
    expect(listed.map(({ status }) => status)).toEqual([1, 2, 3, 0, 0]);
    expect(listed.map(({ error }) => error)).toEqual([null, "not yours", "away", null, null]);
    expect(listed[2]).toMatchObject({ form: "router", retryCount: 1 });
    expect(await cases.claimed()).toEqual([5]);
    await cases.bench.passTime(1_000);
    expect(await cases.claimed({ which: "retries" })).toEqual([3]);
    await cases.done(3);
    expect(await cases.claimed()).toEqual([4]);
  });
  cases.test("keeps order, passes over, and holds behind what waits, as the newer form does", async () => {
    await cases.insert(...rowsOf(["a", "a", "b", null]));
    await cases.fail(1);
    const answer = await cases.claim();
    expect(numbersOf(answer.rows)).toEqual([3, 4]);
    expect(answer).toMatchObject({ passedOver: 1, next: { id: idOf(4) } });
    const counts = await cases.source.counts(defaultRule);
    expect(counts).toMatchObject({ pending: 1, inProgress: 2, waiting: 1, exhausted: 0, refused: 0 });
  });
  cases.test("an operator lists, skips and retries, and old rows that were taken are deleted", async () => {
    await cases.insert(...rowsOf(["a", "a", "b"]));
    expect(await cases.admin.skip({ kind: "ids", ids: [idOf(1)] }, "not wanted", 10)).toBe(1);
    const page = await cases.admin.list({ states: [2], group: "a", limit: 10, after: null });
    expect(page.rows).toMatchObject([{ id: idOf(1), status: 2, error: "not wanted", type: "ROUTER_MESSAGE" }]);
    expect(await cases.admin.retry({ kind: "group", group: "a", states: [2, 5] }, 10)).toBe(1);
    expect(await cases.claimed()).toEqual([1, 2, 3]);
    await cases.done(1, 2, 3);
    await cases.bench.passTime(60_000);
    expect(await cases.source.deleteFinished(60_000, 10)).toBe(3);
    expect(await cases.statuses()).toEqual({});
  });
  cases.test("a word that is no state counts as refused", async () => {
    await cases.insert(...rowsOf(["a", "b", "c"]));
    await cases.bench.overwrite(idOf(1), { status: "PARKED" });
    await cases.bench.overwrite(idOf(2), { status: "X" });
    expect(await cases.source.counts(defaultRule)).toMatchObject({ pending: 1, refused: 2 });
    expect(await cases.statuses()).toEqual({ 1: 2, 2: 2, 3: 0 });
    expect(await cases.admin.retry({ kind: "states", states: [2] }, 10)).toBe(2);
    expect(await cases.claimed()).toEqual([1, 2, 3]);
  });
}
