/** What happened, step by step: all of it as one hash, the last lines as text. */
export class Trace {
  readonly #keep: number;
  readonly #print: ((line: string) => void) | null;
  readonly #lines: string[] = [];
  #hash = 0n;
  #steps = 0;

  /** `print` gets each line as it comes; `keep` is how many of the last ones are remembered. */
  constructor(keep: number, print: ((line: string) => void) | null) {
    this.#keep = keep;
    this.#print = print;
  }

  get steps(): number {
    return this.#steps;
  }

  get hash(): string {
    return this.#hash.toString(16).padStart(16, "0");
  }

  get lastLines(): readonly string[] {
    return this.#lines.slice(-this.#keep);
  }

  add(elapsedMs: number, text: string): void {
    const line = `${String(++this.#steps).padStart(6)} ${(elapsedMs / 1_000).toFixed(3).padStart(9)} s  ${text}`;
    this.#hash = Bun.hash.wyhash(line, this.#hash);
    this.#lines.push(line);
    if (this.#lines.length > this.#keep * 2) this.#lines.splice(0, this.#keep);
    this.#print?.(line);
  }
}
