import { appendFileSync } from "node:fs";

/**
 * What became of each case of each queue and outbox source, for the matrices that `npm test` prints
 * (scripts/conformance-matrix.ts).
 *
 * Cases run in many files and processes, so each writes what happened to it as one line to the file that
 * FC_TEST_MATRIX names; where it is not set nothing is written. A case is entered when it begins and again when it has
 * passed, and one that only began has failed, however its process ended.
 */
export interface MatrixCase {
  /** The matrix it stands in; absent: that of queues. */
  readonly family?: string;
  /** The column: the name under which the queue is tested, such as `nats` or `sqs-fifo`. */
  readonly adapter: string;
  /** The cases it stands among, such as `core` or `platform jobs`. */
  readonly suite: string;
  readonly title: string;
}

export type MatrixLine =
  | (MatrixCase & { readonly kind: "began" | "passed" })
  /** Written once a queue's suite really runs: the cases it is asked for; null: not declared. */
  | {
      readonly kind: "suite";
      readonly family?: string;
      readonly adapter: string;
      readonly suite: string;
      readonly cases: readonly string[] | null;
    };

/** Where lines are collected; null: nobody collects. */
export function matrixFile(): string | null {
  const path = process.env["FC_TEST_MATRIX"] ?? "";
  return path === "" ? null : path;
}

/** Lines are short, so concurrent processes do not tear them. */
export function writeMatrixLine(line: MatrixLine): void {
  const path = matrixFile();
  if (path !== null) appendFileSync(path, `${JSON.stringify(line)}\n`);
}

/**
 * A case that writes down what becomes of it: `test(title, recordedCase({ adapter, suite, title }, run, timeoutMs))`.
 * A test that takes longer than its limit has failed, though it may come to its end later.
 */
export function recordedCase(place: MatrixCase, run: () => Promise<void>, timeoutMs: number): () => Promise<void> {
  return async () => {
    writeMatrixLine({ kind: "began", ...place });
    const startedAtMs = performance.now();
    await run();
    if (performance.now() - startedAtMs <= timeoutMs) writeMatrixLine({ kind: "passed", ...place });
  };
}
