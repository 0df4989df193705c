import { expect, test } from "bun:test";
import { FakeClock, seededRandom, silentLogger } from "@flowcatalyst/foundation";
import type { DeliveryReport, ReportVerdict } from "../domain/attempt.ts";
import type { JobId } from "../domain/ids.ts";
import type { AttemptSink } from "../ports/attempt-sink.ts";
import { Recorder, recorderLimits } from "./recorder.ts";
import { Warnings } from "./warnings.ts";

const gatherMs = 5;
const settled: ReportVerdict = { kind: "settled", status: "EXPIRED", holdsGroup: false };

/** A sink that answers when the test says so, or at once. */
class Sink implements AttemptSink {
  readonly batches: number[] = [];
  isSilent = false;
  #answer: () => void = () => undefined;

  async record(reports: readonly DeliveryReport[]): Promise<readonly ReportVerdict[]> {
    this.batches.push(reports.length);
    if (this.isSilent) await new Promise<void>((resolve) => (this.#answer = resolve));
    return reports.map(() => settled);
  }

  answer(): void {
    this.isSilent = false;
    this.#answer();
  }
}

function setup() {
  const clock = new FakeClock();
  const sink = new Sink();
  let recoveries = 0;
  let recorded = 0;
  const recorder = new Recorder(
    {
      sink,
      clock,
      random: seededRandom(1),
      warnings: new Warnings(clock, silentLogger()),
      recorded: () => void recorded++,
      batchDone: () => undefined,
      recovered: () => void recoveries++,
    },
    { gatherMs },
  );
  const add = (count: number): void => {
    for (let at = 0; at < count; at++) {
      const report = { jobId: "job_1" as JobId, generation: 1, attempt: null, result: { kind: "expired" } } as const;
      recorder.add({} as never, report);
    }
  };
  return { clock, sink, recorder, add, counts: () => ({ recoveries, recorded }) };
}

test("what comes after a pause is written at once, and so is what comes in small batches", async () => {
  const { clock, sink, add } = setup();
  for (let at = 0; at < 3; at++) {
    add(recorderLimits.gatherMinReports - 1);
    await clock.advance(0);
  }
  expect(sink.batches).toEqual([7, 7, 7]);
});

test("behind a larger batch results gather for 5 ms, unless a whole batch waits", async () => {
  const { clock, sink, add, counts } = setup();
  add(recorderLimits.gatherMinReports);
  await clock.advance(0);
  add(3);
  await clock.advance(gatherMs - 1);
  add(3);
  expect(sink.batches).toEqual([8]);
  await clock.advance(1);
  expect(sink.batches).toEqual([8, 6]);
  add(recorderLimits.batchMaxReports * 2 + 1);
  await clock.advance(0);
  expect(sink.batches).toEqual([8, 6, 256, 256]);
  await clock.advance(gatherMs);
  expect(sink.batches).toEqual([8, 6, 256, 256, 1]);
  expect(counts().recorded).toBe(8 + 6 + 513);
});

test("a sink that does not answer is one that is down: after 2 s no more results should come about", async () => {
  const { clock, sink, recorder, add, counts } = setup();
  sink.isSilent = true;
  add(1);
  await clock.advance(recorderLimits.graceMs - 1);
  expect([recorder.isTaking, recorder.isFailing]).toEqual([true, false]);
  await clock.advance(1);
  expect([recorder.isTaking, recorder.isFailing]).toEqual([false, true]);
  sink.answer();
  await clock.advance(0);
  expect([recorder.isTaking, recorder.isFailing]).toEqual([true, false]);
  // Whoever was told to wait is told to go on.
  expect(counts()).toEqual({ recoveries: 1, recorded: 1 });
});
