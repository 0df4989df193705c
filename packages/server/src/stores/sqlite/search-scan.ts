import type { SQLQueryBindings } from "bun:sqlite";
import type { Scope } from "../../domain/scope.ts";
import { searchLimits } from "../search-results.ts";

/**
 * A search in steps. It visits rows newest first, a slice at a time, and gives control back after each (`yield`), so
 * that whoever drives it can stop it at its deadline: a statement of SQLite cannot be interrupted from here, so none
 * may run for long. What is kept are the positions that match, at most `countMaxRows` and one more.
 */
export type SearchSteps<Result> = Generator<void, Result, void>;

export const scanLimits = {
  /** Rows looked at in one step: about 10 ms. */
  sliceRows: 5_000,
} as const;

/** Conditions with positional parameters, joined by AND. */
export class Conditions {
  readonly #texts: string[] = [];
  readonly params: SQLQueryBindings[] = [];

  add(text: string, ...params: SQLQueryBindings[]): void {
    this.#texts.push(text);
    this.params.push(...params);
  }

  addEqual(column: string, value: string | undefined): void {
    if (value !== undefined) this.add(`${column} = ?`, value);
  }

  /** One of the texts, or NULL if null is among them. */
  addOneOf(column: string, values: readonly (string | number | null)[] | undefined): void {
    if (values === undefined || values.length === 0) return;
    const present = JSON.stringify(values.filter((value) => value !== null));
    const orNull = values.includes(null) ? ` OR ${column} IS NULL` : "";
    this.add(`(${column} IN (SELECT value FROM json_each(?))${orNull})`, present);
  }

  addScope(column: string, scope: Scope): void {
    if (scope.kind === "client") this.add(`(${column} IS NULL OR ${column} = ?)`, scope.clientId);
  }

  get sql(): string {
    return this.#texts.length === 0 ? "1" : this.#texts.join(" AND ");
  }
}

/** `*` stands for any text; everything else for itself (https://www.sqlite.org/lang_expr.html#glob). */
export function toGlob(pattern: string): string {
  return pattern.replace(/[[?]/g, (char) => `[${char}]`);
}

/** For LIKE ... ESCAPE '\': the text anywhere, ASCII letters in either case. */
export function toLike(text: string): string {
  return `%${text.replace(/[\\%_]/g, (char) => `\\${char}`)}%`;
}

/** The page's share of what matched. */
export function pageOf(
  positions: readonly number[],
  paging: { readonly page: number; readonly size: number },
): number[] {
  const from = paging.page * paging.size;
  return positions.slice(from, Math.min(from + paging.size, searchLimits.countMaxRows));
}
