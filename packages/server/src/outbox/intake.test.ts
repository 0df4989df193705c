import { afterEach, beforeEach, expect, test } from "bun:test";
import { silentLogger, systemClock } from "@flowcatalyst/foundation";
import type { OutboxPosition, OutboxRowId } from "../domain/outbox-row.ts";
import type { OutboxClaim, OutboxClaimAnswer } from "../ports/outbox-source.ts";
import { Intake } from "./intake.ts";
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
