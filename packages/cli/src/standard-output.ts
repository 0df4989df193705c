import type { Writable } from "node:stream";

/** A stream of this process, which must not end before what it was given has gone out. */
export interface StandardOutput {
  print(text: string): void;
  /** Settles when everything printed has left this process, or nobody reads it any more. */
  flushed(): Promise<void>;
}

/**
 * Lines to a terminal, a file or a pipe. A pipe takes them only as fast as its reader reads, so `flushed` is awaited
 * before the process exits; a reader that went away (`… | head`) is no fault.
 */
export function createStandardOutput(stream: Writable): StandardOutput {
  let closed = false;
  let last: Promise<void> = Promise.resolve();
  stream.on("error", () => {
    closed = true;
  });
  return {
    print(text) {
      if (closed) return;
      // Writes go out in order: the last one tells of all.
      last = new Promise((resolve) => stream.write(`${text}\n`, () => resolve()));
    },
    flushed: () => last,
  };
}
