/**
 * What it may cost to check one event against its schema.
 *
 * Schemas are typed in by users and run on the thread that delivers. A small one can ask for endless work: references
 * that double at each level, a long list of conditions for each of a hundred thousand items, a pattern that backtracks.
 * So the code the validator library makes of a schema is metered: each function and each turn of a loop pays for the
 * length of what it runs, a comparison and a pattern for the length of their text. Who has paid `workMax` is cut off
 * with SchemaWorkExceeded; that is some tenths of a second of work, a hundred times what a large honest event needs.
 *
 * The runtime's expressions cannot be metered from within, and one match may take it a second before it gives up. A
 * pattern that was slow twice on the same text is from then on asked only about texts of half that length, so each
 * pattern can be slow a few times in its life.
 *
 * Each root of `$id` goes into the made code as a comment once code is processed; one that could end the comment is
 * refused before anything is made of it.
 */
import type { Ajv2020 } from "ajv/dist/2020.js";
import type { Clock } from "@flowcatalyst/foundation";

export const schemaWorkLimits = {
  /** Units of about ten nanoseconds. */
  workMax: 10_000_000,
  /** Of a pattern on one text. */
  slowMatchMs: 50,
  /** Texts up to this length are always asked about: a backtracking pattern needs more to take long. */
  matchMinChars: 20,
} as const;

/** Of made code. */
const charsPerUnit = 50;
/** Of a text whose length is counted. */
const charsRead = 10;
const unitsPerMs = 100_000;
const unitsPerFault = 20;

export class SchemaWorkExceeded extends Error {
  override readonly name = "SchemaWorkExceeded";
}

export class SchemaWork {
  readonly #clock: Pick<Clock, "monotonicMs">;
  #left: number = schemaWorkLimits.workMax;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** To be called before each check. */
  begin(): void {
    this.#left = schemaWorkLimits.workMax;
  }

  /** Throws SchemaWorkExceeded. */
  spend(units: number): void {
    this.#left -= units;
    if (this.#left < 0) throw new SchemaWorkExceeded();
  }

  /** Calls one of the library's functions: the length of a text, the equality of two values. */
  call<A extends unknown[], R>(fn: (...values: A) => R, ...values: A): R {
    const [first] = values;
    this.spend(2 + (typeof first === "string" ? first.length / charsRead : 0));
    return fn(...values);
  }

  /** A pattern that pays for what it does. */
  pattern(source: string, flags: string): { test(text: string): boolean; toString(): string } {
    const regex = new RegExp(source, flags);
    let maxChars = Infinity;
    return {
      // The library tells patterns apart by this.
      toString: () => String(regex),
      test: (text) => {
        if (text.length > maxChars) throw new SchemaWorkExceeded();
        const first = this.#timed(regex, text);
        if (first.tookMs < schemaWorkLimits.slowMatchMs || text.length <= schemaWorkLimits.matchMinChars) {
          this.spend(1 + text.length / charsPerUnit + first.tookMs * unitsPerMs);
          return first.matches;
        }
        // Once may have been a pause of the machine.
        if (this.#timed(regex, text).tookMs < schemaWorkLimits.slowMatchMs) return first.matches;
        maxChars = Math.max(schemaWorkLimits.matchMinChars, Math.floor(text.length / 2));
        throw new SchemaWorkExceeded();
      },
    };
  }

  #timed(regex: RegExp, text: string): { readonly matches: boolean; readonly tookMs: number } {
    const startedMs = this.#clock.monotonicMs();
    const matches = regex.test(text);
    return { matches, tookMs: this.#clock.monotonicMs() - startedMs };
  }
}

/** What in made code is a text, begins a function or a loop, calls a function of the library, or is a brace. */
const tokenPattern = /"(?:[^"\\]|\\.)*"|\b(?:function validate\d+|for)\([^()]*\)\{|\bfunc\d+\(|\berrors\+\+|[{}]/g;

/** The code with payments in it; `self` is the library's instance, which bears the work as `work`. */
export function meteredCode(code: string): string {
  const pieces: string[] = [];
  const open: { readonly piece: number; readonly from: number }[] = [];
  let from = 0;
  for (const { 0: token, index } of code.matchAll(tokenPattern)) {
    pieces.push(code.slice(from, index));
    from = index + token.length;
    if (token === "{") open.push({ piece: -1, from });
    else if (token === "}") pay(pieces, open.pop(), index);
    else if (token === "errors++") pieces.push(`self.work.spend(${unitsPerFault});`);
    else if (token.startsWith("func") && !token.startsWith("function")) {
      pieces.push(`self.work.call(${token.slice(0, -1)},`);
      continue;
    }
    pieces.push(token);
    if (token.startsWith("for") || token.startsWith("function")) open.push({ piece: pieces.push("") - 1, from });
  }
  pieces.push(code.slice(from));
  return pieces.join("");
}

function pay(
  pieces: string[],
  block: { readonly piece: number; readonly from: number } | undefined,
  end: number,
): void {
  if (block === undefined || block.piece < 0) return;
  pieces[block.piece] = `self.work.spend(${1 + Math.floor((end - block.from) / charsPerUnit)});`;
}

/** Replaces the library's own, which compares each with each, by one that reads each once. */
export function addUniqueItems(ajv: Ajv2020, work: SchemaWork): void {
  ajv.removeKeyword("uniqueItems");
  ajv.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    error: { message: "must NOT have duplicate items" },
    validate: (wanted: boolean, items: readonly unknown[]) => {
      if (!wanted || items.length < 2) return true;
      const known = new Set<string>();
      for (const item of items) {
        const text = JSON.stringify(item, inOrder);
        work.spend(1 + text.length / charsPerUnit);
        known.add(text);
      }
      return known.size === items.length;
    },
  });
}

/** Members in the order of their names. */
function inOrder(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** True when a `$id` anywhere could end a comment. */
export function hasUnsafeId(schema: unknown): boolean {
  if (typeof schema !== "object" || schema === null) return false;
  return Object.entries(schema).some(
    ([name, value]) => (name === "$id" && typeof value === "string" && value.includes("*/")) || hasUnsafeId(value),
  );
}
