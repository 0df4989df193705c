import { expect } from "bun:test";
import { outboxLimits } from "../domain/outbox-row.ts";
import type { OutboxClaimAnswer } from "./outbox-source.ts";
import { defaultRule, idOf, newRow, rowsOf, type OutboxCases } from "./outbox-source-bench.conformance.ts";

/** Cases of what becomes of rows after their claim, and of the lease, for every source. */

export function settleCases(cases: OutboxCases): void {
  cases.test("writes down what became of each row, with its reason", async () => {
    await cases.insert(...rowsOf([null, null, null, null]));
    await cases.claim();
    await cases.source.settle([
      { kind: "done", id: idOf(1) },
      { kind: "refused", id: idOf(2), status: 2, error: "no JSON" },
      { kind: "refused", id: idOf(3), status: 5, error: "not yours" },
      { kind: "failed", id: idOf(4), status: 3, error: "fell over", countsAsRetry: true },
    ]);
    expect(await cases.listed()).toMatchObject([
      { status: 1, error: null, retryCount: 0 },
      { status: 2, error: "no JSON", retryCount: 0 },
      { status: 5, error: "not yours", retryCount: 0 },
      { status: 3, error: "fell over", retryCount: 1 },
    ]);
  });
  cases.test("a row that was taken after failing says nothing of errors any more", async () => {
    await cases.insert(newRow(1));
    await cases.fail(1);
    await cases.done(1);
    expect(await cases.row(1)).toMatchObject({ status: 1, error: null });
  });
  cases.test("done applies to every row that is not final, the others only to those in progress", async () => {
    await cases.insert(...rowsOf([null, null, null, null]));
    await cases.claim({ maxRows: 1 });
    await cases.refuse(1);
    await cases.refuse(2);
    await cases.source.settle([
      { kind: "done", id: idOf(1) },
      { kind: "done", id: idOf(3) },
      { kind: "failed", id: idOf(4), status: 3, error: "no", countsAsRetry: true },
      { kind: "done", id: idOf(99) },
    ]);
    expect(await cases.statuses()).toEqual({ 1: 2, 2: 0, 3: 1, 4: 0 });
    expect(await cases.row(4)).toMatchObject({ retryCount: 0, error: null });
  });
  cases.test("a long reason is cut, and one that no text can hold is kept as far as it can be", async () => {
    await cases.insert(newRow(1), newRow(2));
    await cases.claim();
    await cases.refuse(1, "é".repeat(outboxLimits.errorMaxChars + 10));
    await cases.refuse(2, "a\u0000b");
    expect((await cases.row(1)).error).toBe("é".repeat(outboxLimits.errorMaxChars));
    expect((await cases.row(2)).error).toMatch(/^a.b$/su);
  });
  cases.test("settles hundreds of rows at once, and nothing at all", async () => {
    const numbers = Array.from({ length: 600 }, (_, index) => index + 1);
    await cases.insert(...rowsOf(numbers.map((number) => `g${number % 50}`)));
    expect(await cases.claimed({ maxRows: 600 })).toEqual(numbers);
    await cases.done(...numbers);
    await cases.source.settle([]);
    await cases.source.release([]);
    const counts = await cases.source.counts(defaultRule);
    expect(counts).toMatchObject({ pending: 0, inProgress: 0, oldestAgeMs: null });
  });
  cases.test("a released row is pending again with the retries it has; a settled one is not touched", async () => {
    await cases.insert(...rowsOf(["a", "a"]));
    await cases.fail(1);
    await cases.bench.passTime(1_000);
    const [retried] = await cases.claimRows({ which: "retries" });
    await cases.source.release([retried!]);
    expect(await cases.row(1)).toMatchObject({ status: 0, retryCount: 1 });
    const rows = await cases.claimRows();
    await cases.done(1);
    await cases.source.release(rows);
    expect(await cases.statuses()).toEqual({ 1: 1, 2: 0 });
  });
  cases.test("what has been in progress for long becomes pending, and on demand all of it", async () => {
    await cases.insert(...rowsOf(["a", "b"]));
    await cases.claim({ maxRows: 1 });
    await cases.bench.passTime(300_000);
    await cases.claim();
    expect(await cases.source.recover(300_000)).toBe(1);
    expect(await cases.statuses()).toEqual({ 1: 0, 2: 9 });
    expect(await cases.source.recover(0)).toBe(1);
    expect(await cases.source.recover(0)).toBe(0);
    expect(await cases.claimed()).toEqual([1, 2]);
  });
  cases.test("what is in progress comes back on demand, even where the clock has gone back meanwhile", async () => {
    await cases.insert(...rowsOf(["a", null]));
    await cases.claim();
    await cases.bench.passTime(-3_600_000);
    expect(await cases.source.recover(300_000)).toBe(0);
    expect(await cases.source.recover(0)).toBe(2);
    expect(await cases.statuses()).toEqual({ 1: 0, 2: 0 });
  });
  cases.test("deletes what was taken long ago, so much at a time, and nothing else", async () => {
    await cases.insert(...rowsOf([null, null, null, null, null, null]));
    await cases.claim({ maxRows: 5 });
    await cases.done(1, 2, 3);
    await cases.refuse(4);
    await cases.bench.passTime(60_000);
    await cases.done(5);
    expect(await cases.source.deleteFinished(60_000, 2)).toBe(2);
    expect(await cases.source.deleteFinished(60_000, 2)).toBe(1);
    expect(await cases.source.deleteFinished(60_000, 2)).toBe(0);
    expect(await cases.statuses()).toEqual({ 4: 2, 5: 1, 6: 0 });
  });
  cases.test("counts what there is, and how old the oldest of what is not final is", async () => {
    await cases.insert(...rowsOf([null, null, null, null, null]));
    await cases.claim({ maxRows: 2 });
    await cases.done(1);
    await cases.refuse(2);
    await cases.bench.passTime(5_000);
    await cases.fail(3, 2);
    await cases.fail(4);
    await cases.insert(newRow(6));
    await cases.claim({ maxRows: 1 });
    const counts = await cases.source.counts({ maxRetries: 2, blockOnError: true });
    expect(counts).toMatchObject({ pending: 1, inProgress: 1, waiting: 1, exhausted: 1, refused: 1 });
    expect(counts.countedTo).toBeGreaterThanOrEqual(1_000);
    expect(counts.oldestAgeMs).toBeGreaterThanOrEqual(65_000);
    expect(counts.oldestAgeMs).toBeLessThan(90_000);
  });
}

export function leaseCases(cases: OutboxCases): void {
  cases.test("one has the lease at a time, and the epoch rises with each change of hands", async () => {
    const { lease } = cases.source;
    const first = await lease.acquire("one", 10_000);
    expect(first?.epoch).toBeGreaterThan(0);
    expect(await lease.acquire("two", 10_000)).toBeNull();
    expect(await lease.acquire("one", 10_000)).toEqual(first);
    await lease.release("two");
    expect(await lease.acquire("two", 10_000)).toBeNull();
    await lease.release("one");
    const second = await lease.acquire("two", 10_000);
    expect(second?.epoch).toBeGreaterThan(first?.epoch ?? 0);
    expect(await lease.acquire("one", 10_000)).toBeNull();
  });
  cases.test("a lease that ran out is taken by another one, from another process", async () => {
    const first = await cases.source.lease.acquire("one", 10_000);
    const { source } = await cases.bench.another();
    expect(await source.lease.acquire("two", 10_000)).toBeNull();
    await cases.bench.passTime(10_001);
    const second = await source.lease.acquire("two", 10_000);
    expect(second?.epoch).toBeGreaterThan(first?.epoch ?? 0);
  });
  cases.test("of many that ask at once, one gets it", async () => {
    const sources = [cases.source, (await cases.bench.another()).source];
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => sources[index % 2]!.lease.acquire(`holder ${index}`, 10_000)),
    );
    expect(answers.filter((answer) => answer !== null)).toHaveLength(1);
  });
  cases.test("a claim with an epoch that is over, or that never was, takes nothing", async () => {
    await cases.insert(newRow(1));
    const epoch = await cases.epoch();
    await cases.bench.passTime(60_001);
    expect(await cases.source.lease.acquire("another", 10_000)).not.toBeNull();
    const answers: OutboxClaimAnswer[] = [];
    for (const which of ["new", "retries"] as const) answers.push(await cases.ask({ epoch, which }));
    answers.push(await cases.ask({ epoch: epoch + 1_000 }));
    expect(answers).toEqual([{ kind: "fenced" }, { kind: "fenced" }, { kind: "fenced" }]);
    expect(await cases.statuses()).toEqual({ 1: 0 });
  });
  cases.test("two processes never get one row, nor rows of one group", async () => {
    const { source } = await cases.bench.another();
    const numbers = Array.from({ length: 200 }, (_, index) => index + 1);
    await cases.insert(...rowsOf(numbers.map((number) => `g${number % 20}`)));
    const claim = { ...claimOf(await cases.epoch()), maxRows: 15 };
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) => (index % 2 === 0 ? source : cases.source).claim(claim)),
    );
    const given = answers.map((answer) => (answer.kind === "claimed" ? answer.rows : []));
    const ids = given.flatMap((rows) => rows.map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
    const groups = given.flatMap((rows) => [...new Set(rows.map(({ group }) => group))]);
    expect(new Set(groups).size).toBe(groups.length);
    expect(groups).toHaveLength(20);
  });
}

function claimOf(epoch: number) {
  return {
    epoch,
    which: "new",
    maxRows: 100,
    maxBytes: 1_000_000,
    payloadMaxBytes: 100_000,
    after: null,
    maxScanned: 1_000,
    ...defaultRule,
  } as const;
}
