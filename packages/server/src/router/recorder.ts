/**
 * Writes what came of calls, in batches, and tells what the store made of it.
 *
 * A result is recorded before its message is acked: until then the message would come back after a crash, and
 * afterwards nothing needs to. A result that comes after a pause is written at once. While many results come, the
 * writer lets them gather for a few milliseconds between two batches (at most 256 results each), because the jobs of a
 * batch share rows and pages of the store (docs/decisions/0011, with what it was measured to bring). Nothing waits for
 * it that matters to a target: after a 2xx the next delivery of the line starts before it is recorded.
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> idle
 *   idle --> writing: a result was added (in the next turn of the event loop)
 *   writing --> gathering: fewer than a batch are left
 *   gathering --> writing: the time is over
 *   writing --> writing: a whole batch has gathered
 *   gathering --> idle: nothing came
 *   writing --> failing: the sink refused the batch
 *   failing --> failing: refused again, after a growing wait
 *   failing --> writing: the sink took the batch
 * ```
 *
 * While the sink fails, results keep their place and are tried again for ever, oldest first; nothing is acked. When it
 * has not taken a batch for two seconds, whether it refuses or does not answer, `isTaking` turns false, upon which no
 * new call starts: so what waits here is at most what was in the pipeline then.
 */
import { backoffMs, type Clock, type Random } from "@flowcatalyst/foundation";
import type { DeliveryReport, ReportVerdict } from "../domain/attempt.ts";
import type { AttemptSink } from "../ports/attempt-sink.ts";
import type { Delivery } from "./in-flight.ts";
import type { Warnings } from "./warnings.ts";

export const recorderLimits = {
  batchMaxReports: 256,
  /** A batch of fewer was written for few lines, whose next runs wait for the record: nothing gathers then. */
  gatherMinReports: 8,
  /** For how long calls still start while a batch is not taken. */
  graceMs: 2_000,
  retry: { baseMs: 100, capMs: 5_000, jitter: "equal" },
} as const;

export interface RecorderDeps {
  readonly sink: AttemptSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly warnings: Warnings;
  readonly recorded: (delivery: Delivery, report: DeliveryReport, verdict: ReportVerdict) => void;
  /** After each batch: lines may have become ready. */
  readonly batchDone: () => void;
  /** Calls may start again after a failure. */
  readonly recovered: () => void;
}

export class Recorder {
  readonly #deps: RecorderDeps;
  readonly #gatherMs: number;
  #reports: DeliveryReport[] = [];
  #deliveries: Delivery[] = [];
  #isWriting = false;
  /** Since when the batch that is written has been tried. */
  #writingSinceMs: number | null = null;
  #wasRefused = false;
  /** Ends the waits between tries for good. */
  readonly #abandon = new AbortController();

  constructor(deps: RecorderDeps, config: { readonly gatherMs: number }) {
    this.#deps = deps;
    this.#gatherMs = config.gatherMs;
  }

  /** False: results can't be recorded, so no new ones should come about. */
  get isTaking(): boolean {
    if (this.#writingSinceMs === null) return true;
    return this.#deps.clock.monotonicMs() - this.#writingSinceMs < recorderLimits.graceMs;
  }

  get isFailing(): boolean {
    return this.#wasRefused || !this.isTaking;
  }

  /** Results not yet recorded. */
  get pending(): number {
    return this.#reports.length;
  }

  add(delivery: Delivery, report: DeliveryReport): void {
    this.#reports.push(report);
    this.#deliveries.push(delivery);
    if (this.#isWriting) return;
    this.#isWriting = true;
    // The next turn: all calls that ended in this one go into the same batch.
    setImmediate(() => void this.#write());
  }

  /** Gives up what could not be recorded: its messages come back, since they were not acked. */
  abandon(): void {
    this.#abandon.abort();
  }

  async #write(): Promise<void> {
    while (this.#reports.length > 0 && !this.#abandon.signal.aborted) {
      const count = Math.min(this.#reports.length, recorderLimits.batchMaxReports);
      const verdicts = await this.#recordFirst(count);
      if (verdicts === null) continue;
      const reports = this.#reports;
      const deliveries = this.#deliveries;
      this.#reports = reports.slice(count);
      this.#deliveries = deliveries.slice(count);
      for (let at = 0; at < count; at++) this.#tell(deliveries[at], reports[at], verdicts[at]);
      this.#deps.batchDone();
      if (this.#isWorthGathering(count)) await this.#gather();
    }
    this.#isWriting = false;
  }

  #isWorthGathering(written: number): boolean {
    const { batchMaxReports, gatherMinReports } = recorderLimits;
    return this.#gatherMs > 0 && written >= gatherMinReports && this.#reports.length < batchMaxReports;
  }

  #gather(): Promise<void> {
    return this.#deps.clock.sleep(this.#gatherMs, this.#abandon.signal);
  }

  #tell(delivery: Delivery | undefined, report: DeliveryReport | undefined, verdict: ReportVerdict | undefined): void {
    if (delivery === undefined || report === undefined) return;
    // A sink that answers less than it was asked has taken the report all the same.
    this.#deps.recorded(delivery, report, verdict ?? { kind: "ignored", reason: "UNKNOWN_JOB" });
  }

  /** Null: it was refused, and a wait has passed. */
  async #recordFirst(count: number): Promise<readonly ReportVerdict[] | null> {
    const { sink, clock, random, warnings } = this.#deps;
    this.#writingSinceMs = clock.monotonicMs();
    let failures = 0;
    for (;;) {
      try {
        const verdicts = await sink.record(this.#reports.slice(0, count));
        const wasFailing = this.isFailing;
        this.#writingSinceMs = null;
        this.#wasRefused = false;
        if (wasFailing) this.#deps.recovered();
        return verdicts;
      } catch (error) {
        this.#wasRefused = true;
        const message = `results cannot be recorded: ${error instanceof Error ? error.message : String(error)}`;
        warnings.add({ category: "SINK", severity: "CRITICAL", message, source: "attempt-sink" });
        await clock.sleep(backoffMs(recorderLimits.retry, failures++, random), this.#abandon.signal);
        if (this.#abandon.signal.aborted) return null;
      }
    }
  }
}
