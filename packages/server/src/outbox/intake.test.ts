import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { seededRandom, silentLogger, systemClock } from "@flowcatalyst/foundation";
import type { OutboxPosition, OutboxRow, OutboxRowId } from "../domain/outbox-row.ts";
import type { OutboxClaim, OutboxClaimAnswer } from "../ports/outbox-source.ts";
import { Intake } from "./intake.ts";
import { MemoryOutbox } from "./memory-outbox.fixture.ts";
import type { Look } from "./scan.ts";

type Claimed = OutboxClaimAnswer & { readonly kind: "claimed" };

const nothing: Claimed = { kind: "claimed", rows: [], next: null, passedOver: 0 };
const held = (next: OutboxPosition): Claimed => ({ ...nothing, next, passedOver: 1 });
const at = (place: number): OutboxPosition => ({ createdAt: String(place), id: String(place) as OutboxRowId });
const found: Look = { of: "retries" };

let stopping: AbortController;
beforeEach(() => {
  stopping = new AbortController();
});
afterEach(() => stopping.abort());

/** An intake that polls once an hour, so that whatever it does was asked for. */
function open(answer: (claim: OutboxClaim, intake: Intake) => Claimed | Promise<Claimed>): Intake {
  const source = { claim: (claim: OutboxClaim) => Promise.resolve(answer(claim, intake)) };
  const room = () => ({ rows: 100, bytes: 1_000_000 });
  const intake: Intake = new Intake(
    { source, clock: systemClock(), logger: silentLogger(), room, took: () => undefined },
    { epoch: 1, pollIntervalMs: 3_600_000, maxRetries: 10, blockOnError: true },
  );
  return intake;
}

test("a group that becomes free while a claim still sees it as held is looked at again at once", async () => {
  let looks = 0;
  await new Promise<void>((resolve) => {
    const intake = open(({ which }) => {
      if (which === "retries") return nothing;
      looks += 1;
      if (looks === 1) {
        // The end of the first sweep, from which on there is a tail.
        queueMicrotask(() => intake.told());
        return nothing;
      }
      if (looks > 2) resolve();
      // The claim has looked at its rows; before its answer is here, the batch before it is settled.
      if (looks === 2) intake.finished(new Set([found]));
      return looks === 2 ? held(at(1)) : nothing;
    });
    void intake.run(stopping.signal);
  });
  expect(looks).toBe(3);
});

test("a sweep reaches its end, however often groups become free meanwhile, and then begins anew", async () => {
  const windows = 5;
  const looked: (string | null)[] = [];
  await new Promise<void>((resolve) => {
    const intake = open(({ which, after }) => {
      if (which === "retries") return nothing;
      looked.push(after?.createdAt ?? null);
      if (looked.length === 2 * windows) resolve();
      intake.finished(new Set([found]));
      const place = Number(after?.createdAt ?? 0) + 1;
      return place < windows ? held(at(place)) : nothing;
    });
    void intake.run(stopping.signal);
  });
  const once = [null, "1", "2", "3", "4"];
  expect(looked.slice(0, 2 * windows)).toEqual([...once, ...once]);
});

describe("one group with a backlog of many windows", () => {
  for (let seed = 1; seed <= 20; seed++) {
    test(`is never left behind by the sweep, whenever its rows are settled (${seed})`, async () => {
      const rows = 600;
      const window = 10;
      const random = seededRandom(seed);
      const clock = systemClock();
      const outbox = new MemoryOutbox(clock);
      outbox.insert(...Array.from({ length: rows }, () => ({ group: "a" })));
      let inHand: { readonly rows: readonly OutboxRow[]; readonly look: Look } | null = null;
      const settle = async (): Promise<void> => {
        if (inHand === null) return;
        const { rows: taken, look } = inHand;
        inHand = null;
        await outbox.settle(taken.map(({ id }) => ({ kind: "done", id })));
        intake.finished(new Set([look]));
      };
      /** Before the claim sees the rows, after it, or not yet. */
      const perhaps = async (): Promise<void> => (random.next() < 0.3 ? settle() : undefined);
      const claim = async (asked: OutboxClaim): Promise<OutboxClaimAnswer> => {
        await perhaps();
        const answer = await outbox.claim({ ...asked, epoch: 0, maxRows: window, maxScanned: window });
        await perhaps();
        // Nobody asks again until then.
        if (answer.kind === "claimed" && answer.next === null) setImmediate(() => void settle());
        return answer;
      };
      const intake: Intake = new Intake(
        {
          source: { claim },
          clock,
          logger: silentLogger(),
          room: () => ({ rows: window, bytes: 1_000_000 }),
          took: (taken, look) => void (inHand = { rows: taken, look }),
        },
        { epoch: 0, pollIntervalMs: 3_600_000, maxRetries: 10, blockOnError: true },
      );
      void intake.run(stopping.signal);
      await outbox.until(() => outbox.done.length === rows);
      // One look takes rows, few find them under way; a walk to the end would be sixty.
      expect(outbox.claims.length).toBeLessThan((rows / window) * 12);
    });
  }
});

const rowAt = (place: number): OutboxRow => ({
  form: "platform",
  id: at(place).id,
  position: at(place),
  group: null,
  type: "EVENT",
  payload: "{}",
  payloadBytes: 2,
  clientId: null,
  headers: null,
  retryCount: 0,
});

test("a row that a clock ahead of all others has stamped hides new rows from the tail once, not for ever", async () => {
  const machine = systemClock();
  let passedMs = 0;
  const pending = new Set([1_000]);
  const foundBy = new Map<number, Look["of"]>();
  const awaited = new Map<string, () => void>();
  const until = (event: string): Promise<void> => new Promise((resolve) => void awaited.set(event, resolve));
  const claim = async ({ which, after }: OutboxClaim): Promise<OutboxClaimAnswer> => {
    if (which === "retries") return nothing;
    const place = Number(after?.createdAt ?? 0);
    const rows = [...pending].filter((each) => each > place).map(rowAt);
    for (const { position } of rows) pending.delete(Number(position.createdAt));
    setImmediate(() => awaited.get(`looked behind ${place}`)?.());
    return { ...nothing, rows, next: rows.at(-1)?.position ?? null };
  };
  const intake = new Intake(
    {
      source: { claim },
      clock: { ...machine, monotonicMs: () => machine.monotonicMs() + passedMs },
      logger: silentLogger(),
      room: () => ({ rows: 100, bytes: 1_000_000 }),
      took: (rows, look) => {
        for (const { position } of rows) foundBy.set(Number(position.createdAt), look.of);
        setImmediate(() => awaited.get("taken")?.());
      },
    },
    { epoch: 1, pollIntervalMs: 3_600_000, maxRetries: 10, blockOnError: true },
  );
  const firstSwept = until("looked behind 1000");
  void intake.run(stopping.signal);
  await firstSwept;
  passedMs += 6_000;
  pending.add(1);
  const swept = until("looked behind 1");
  intake.lookAgain();
  await swept;
  for (const place of [2, 3]) {
    passedMs += 6_000;
    pending.add(place);
    const taken = until("taken");
    intake.told();
    await taken;
  }
  expect([...foundBy.values()]).toEqual(["sweep", "sweep", "tail", "tail"]);
});
