import { expect } from "bun:test";
import type { OutboxRow } from "../domain/outbox-row.ts";
import type { OutboxClaim } from "./outbox-source.ts";
import { idOf, newRow, numbersOf, rowsOf, type OutboxCases } from "./outbox-source-bench.conformance.ts";

/** Cases of claims, for every source. */

export function lookCases(cases: OutboxCases): void {
  cases.test("gives rows in order with all that is in them, once, and marks them as in progress", async () => {
    const headers = '{"traceparent":"00-1"}';
    const payload = '{"ü":"€ 😀","text":"a\\"b"}';
    await cases.insert(
      newRow(1, { group: "a", payload, headers, client: "cli_0000000000001" }),
      newRow(2, { type: "AUDIT_LOG", payload: "{ not json" }),
    );
    const [first, second] = await cases.claimRows();
    expect(first).toMatchObject({
      form: "platform",
      id: idOf(1),
      type: "EVENT",
      group: "a",
      payload,
      payloadBytes: Buffer.byteLength(payload),
      clientId: "cli_0000000000001",
      retryCount: 0,
    });
    expect(JSON.parse(first?.headers ?? "")).toEqual(JSON.parse(headers));
    expect(second).toMatchObject({ id: idOf(2), type: "AUDIT_LOG", group: null, payload: "{ not json", headers: null });
    expect(second).toMatchObject({ form: "platform", clientId: null });
    expect(await cases.statuses()).toEqual({ 1: 9, 2: 9 });
    expect(await cases.claim()).toEqual({ kind: "claimed", rows: [], next: null, passedOver: 0 });
  });
  cases.test("never sees a row of a transaction that was rolled back", async () => {
    await cases.bench.insertAndRollBack([newRow(1), newRow(2)]);
    await cases.insert(newRow(3));
    expect(await cases.claimed()).toEqual([3]);
    expect(await cases.statuses()).toEqual({ 3: 9 });
  });
  cases.test("gives no more than was asked for, and the rest next time", async () => {
    await cases.insert(...rowsOf(["a", "b", null, null, "c"]));
    const first = await cases.claim({ maxRows: 2 });
    expect(numbersOf(first.rows)).toEqual([1, 2]);
    expect(first.next).toEqual(first.rows[1]!.position);
    expect(await cases.claimed({ maxRows: 2, after: first.next })).toEqual([3, 4]);
    expect(await cases.claimed({ maxRows: 2 })).toEqual([5]);
  });
  cases.test("stops at so many bytes, but gives one row whatever its size", async () => {
    const payload = JSON.stringify("x".repeat(998));
    await cases.insert(...[1, 2, 3, 4].map((number) => newRow(number, { payload })));
    const first = await cases.claim({ maxBytes: 2_500 });
    expect(numbersOf(first.rows)).toEqual([1, 2]);
    expect(first.next).toEqual(first.rows[1]!.position);
    expect(await cases.claimed({ maxBytes: 10 })).toEqual([3]);
    expect(await cases.claimed({ maxBytes: 1_000 })).toEqual([4]);
  });
  cases.test("does not read a payload that is too large, and says how large it is", async () => {
    const payload = JSON.stringify("€".repeat(10_000));
    await cases.insert(newRow(1, { payload }), newRow(2));
    const [large, small] = await cases.claimRows({ payloadMaxBytes: 30_001, maxBytes: 1_000 });
    expect(large).toMatchObject({ id: idOf(1), payload: null, payloadBytes: 30_002 });
    expect(small).toMatchObject({ id: idOf(2), payload: '{"number":2}' });
    expect((await cases.row(1)).payloadBytes).toBe(30_002);
  });
  cases.test("looks only behind the position it is given", async () => {
    await cases.insert(...rowsOf([null, null, null]));
    const { next } = await cases.claim({ maxRows: 1 });
    const { rows } = await cases.claim({ maxRows: 1, after: next });
    await cases.source.release(rows);
    expect(await cases.claimed({ after: rows[0]!.position })).toEqual([3]);
    expect(await cases.claim({ after: rows[0]!.position })).toMatchObject({ rows: [], next: null });
    expect(await cases.claimed()).toEqual([2]);
  });
  cases.test("looks at no more rows than it is told, and goes on from there", async () => {
    await cases.insert(...rowsOf(["a", "a", "a", "a", "b"]));
    const first = await cases.claimRows({ maxRows: 1 });
    const window = await cases.claim({ maxScanned: 2 });
    expect(window).toMatchObject({ rows: [], passedOver: 2 });
    expect(window.next?.id).toBe(idOf(3));
    const rest = await cases.claim({ maxScanned: 2, after: window.next });
    expect(numbersOf(rest.rows)).toEqual([5]);
    expect(rest).toMatchObject({ next: { id: idOf(5) }, passedOver: 1 });
    expect(await cases.claim({ maxScanned: 2, after: rest.next })).toMatchObject({ rows: [], next: null });
    expect(numbersOf(first)).toEqual([1]);
  });
}

export function orderCases(cases: OutboxCases): void {
  cases.test("rows of a group come in order and in one claim", async () => {
    await cases.insert(...rowsOf(["a", "b", "a", null, "a"]));
    expect(await cases.claimed()).toEqual([1, 2, 3, 4, 5]);
  });
  cases.test("while a row of a group is in progress, no other one of it is given", async () => {
    await cases.insert(...rowsOf(["a", "a", "b", "a", null, null]));
    expect(await cases.claimed({ maxRows: 1 })).toEqual([1]);
    const second = await cases.claim();
    expect(numbersOf(second.rows)).toEqual([3, 5, 6]);
    expect(second.passedOver).toBe(2);
    await cases.done(1);
    expect(await cases.claimed()).toEqual([2, 4]);
  });
  cases.test("a look from further behind does not overtake an earlier pending row of the group", async () => {
    await cases.insert(...rowsOf(["a", "a", "b"]));
    const rows = await cases.claimRows({ maxRows: 1 });
    const { next } = await cases.claim();
    expect(next?.id).toBe(idOf(3));
    await cases.insert(...rowsOf(["a", "c"], 4));
    await cases.source.settle([{ kind: "done", id: rows[0]!.id }]);
    expect(await cases.claimed({ after: next })).toEqual([5]);
    expect(await cases.claimed()).toEqual([2, 4]);
  });
  cases.test("a row that waits holds those behind it in its group, and nobody else", async () => {
    for (const status of [3, 4, 6] as const) {
      const base = status * 10;
      const group = `g${status}`;
      await cases.insert(...rowsOf([group, group, null, "x"], base));
      await cases.fail(base, 1, status);
      const answer = await cases.claim();
      expect(numbersOf(answer.rows)).toEqual([base + 2, base + 3]);
      await cases.source.settle([
        { kind: "done", id: idOf(base + 2) },
        { kind: "done", id: idOf(base + 3) },
      ]);
      expect(await cases.claim()).toMatchObject({ rows: [] });
    }
  });
  cases.test("a row that has no retries left holds those behind it until it is settled", async () => {
    await cases.insert(...rowsOf(["a", "a"]));
    await cases.fail(1, 2);
    await cases.bench.passTime(60_000);
    expect(await cases.claimed({ which: "retries", maxRetries: 2 })).toEqual([]);
    expect(await cases.claimed({ maxRetries: 2 })).toEqual([]);
    await cases.done(1);
    expect(await cases.claimed({ maxRetries: 2 })).toEqual([2]);
  });
  cases.test("a row that waits does not hold those before it", async () => {
    await cases.insert(...rowsOf(["a", "a"]));
    const rows = await cases.claimRows();
    await cases.source.settle([failed(rows[1]!)]);
    await cases.source.release([rows[0]!]);
    expect(await cases.claimed()).toEqual([1]);
  });
  cases.test("where errors do not block, a row that waits is passed by", async () => {
    await cases.insert(...rowsOf(["a", "a"]));
    await cases.fail(1);
    expect(await cases.claimed({ blockOnError: false })).toEqual([2]);
  });
  cases.test("a refused row and one that was taken hold nobody", async () => {
    await cases.insert(...rowsOf(["a", "a", "a", "a"]));
    expect(await cases.claimed({ maxRows: 3 })).toEqual([1, 2, 3]);
    await cases.refuse(1);
    await cases.source.settle([{ kind: "refused", id: idOf(2), status: 5, error: "not yours" }]);
    await cases.done(3);
    expect(await cases.claimed()).toEqual([4]);
  });
}

export function retryCases(cases: OutboxCases): void {
  const retries: Partial<OutboxClaim> = { which: "retries" };
  cases.test("a row that failed comes again once its delay is over, as a retry and not as a new one", async () => {
    await cases.insert(newRow(1, { group: "a" }));
    await cases.fail(1);
    expect(await cases.claimed()).toEqual([]);
    await cases.bench.passTime(100);
    expect(await cases.claimed(retries)).toEqual([]);
    await cases.bench.passTime(900);
    const again = await cases.claim(retries);
    expect(again).toMatchObject({ rows: [{ id: idOf(1), retryCount: 1 }], next: null });
    expect(await cases.claimed(retries)).toEqual([]);
  });
  cases.test("the delay doubles with each retry", async () => {
    await cases.insert(newRow(1));
    await cases.fail(1, 3);
    await cases.bench.passTime(3_000);
    expect(await cases.claimed(retries)).toEqual([]);
    await cases.bench.passTime(1_000);
    expect(await cases.claimRows(retries)).toMatchObject([{ retryCount: 3 }]);
  });
  cases.test("the delay ends at a minute, and retries end at their maximum", async () => {
    await cases.insert(newRow(1));
    await cases.fail(1, 9);
    await cases.bench.passTime(59_000);
    expect(await cases.claimed(retries)).toEqual([]);
    await cases.bench.passTime(1_000);
    expect(await cases.claimed({ ...retries, maxRetries: 9 })).toEqual([]);
    expect(await cases.claimed(retries)).toEqual([1]);
  });
  cases.test("a failure that is not the row's own uses up no retry, and it comes again at once", async () => {
    await cases.insert(newRow(1));
    const rows = await cases.claimRows();
    await cases.source.settle([{ ...failed(rows[0]!), status: 6, countsAsRetry: false }]);
    expect(await cases.row(1)).toMatchObject({ status: 6, retryCount: 0 });
    expect(await cases.claimRows(retries)).toMatchObject([{ id: idOf(1), retryCount: 0 }]);
  });
  cases.test("a number of retries below zero, which an application wrote, counts as none", async () => {
    await cases.insert(...rowsOf(["a", "a", "b"]));
    await cases.bench.overwrite(idOf(1), { status: 3, retry_count: -5 });
    await cases.bench.overwrite(idOf(3), { retry_count: -5 });
    expect(await cases.row(1)).toMatchObject({ retryCount: 0 });
    expect(await cases.source.counts({ maxRetries: 1, blockOnError: true })).toMatchObject({
      waiting: 1,
      exhausted: 0,
    });
    expect(await cases.source.counts({ maxRetries: 0, blockOnError: true })).toMatchObject({
      waiting: 0,
      exhausted: 1,
    });
    expect(await cases.claimed({ ...retries, maxRetries: 0 })).toEqual([]);
    expect(await cases.claimRows()).toMatchObject([{ id: idOf(3), retryCount: 0 }]);
    const rows = await cases.claimRows(retries);
    expect(rows).toMatchObject([{ id: idOf(1), retryCount: 0 }]);
    await cases.source.settle([failed(rows[0]!)]);
    expect(await cases.row(1)).toMatchObject({ status: 3, retryCount: 1 });
  });
  cases.test("rows of a group that failed together come again together, in order", async () => {
    await cases.insert(...rowsOf(["a", "a", "b", "a"]));
    await cases.source.settle((await cases.claimRows()).map((row) => failed(row)));
    await cases.bench.passTime(1_000);
    expect((await cases.claimed(retries)).toSorted((one, other) => one - other)).toEqual([1, 2, 3, 4]);
  });
  cases.test("due rows behind one that is not due yet become pending, and hide nobody", async () => {
    await cases.insert(newRow(1, { group: "a" }));
    // Sixteen seconds: the machine may be slow.
    await cases.fail(1, 5);
    await cases.insert(...rowsOf(["a", "b"], 2));
    const rows = await cases.claimRows({ blockOnError: false });
    expect(numbersOf(rows)).toEqual([2, 3]);
    await cases.source.settle(rows.map((row) => failed(row)));
    await cases.bench.passTime(1_500);
    const answer = await cases.claim(retries);
    expect(numbersOf(answer.rows)).toEqual([3]);
    expect(await cases.statuses()).toEqual({ 1: 3, 2: 0, 3: 9 });
    expect(await cases.row(2)).toMatchObject({ retryCount: 1 });
  });
  cases.test("a retry is not given while another row of its group is in progress", async () => {
    await cases.insert(...rowsOf(["a", "a"]));
    await cases.fail(1);
    expect(await cases.claimed({ blockOnError: false })).toEqual([2]);
    await cases.bench.passTime(1_000);
    expect(await cases.claimed({ ...retries, blockOnError: false })).toEqual([]);
    await cases.done(2);
    const both = [...(await cases.claimed(retries)), ...(await cases.claimed())];
    expect(both).toEqual([1]);
  });
  cases.test("gives no more retries than was asked for", async () => {
    await cases.insert(...rowsOf([null, null, null]));
    await cases.source.settle((await cases.claimRows()).map((row) => failed(row)));
    await cases.bench.passTime(1_000);
    const first = await cases.claimed({ ...retries, maxRows: 2 });
    const second = await cases.claimed({ ...retries, maxRows: 2 });
    expect(first).toHaveLength(2);
    expect([...first, ...second].toSorted((one, other) => one - other)).toEqual([1, 2, 3]);
  });
}

function failed(row: OutboxRow) {
  return { kind: "failed", id: row.id, status: 3, error: "no", countsAsRetry: true } as const;
}
